"""The rows of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.domain.users import Profile, User
from service.ports.planning import Wanted


class Users(Protocol):
    """The rows of users. Every method raises Unavailable."""

    async def create(self, profile: Profile, wanted: list[Wanted]) -> User:
        """Store a user and the messages that planning has already passed. Raises EmailTaken."""

    async def get(self, user_id: UUID) -> User | None:
        """A user, or None if there is none, or no longer."""

    async def page(
        self, *, after: UUID | None, limit: int, email: str | None, timezone: str | None, birthday: int | None
    ) -> list[User]:
        """Users in the order of their ids, those after `after`; `birthday` is month * 100 + day."""

    async def change(
        self,
        user_id: UUID,
        edit: Callable[[User], Profile],
        plan: Callable[[Profile, Profile, datetime], list[Wanted]],
        *,
        version: int | None,
    ) -> User | None:
        """In one transaction: lock the user, store what `edit` makes of it, and move the messages as `plan`
        (given before, after and now) says. None if there is no such user. Raises EmailTaken, UserChanged."""

    async def delete(self, user_id: UUID, *, version: int | None, erase: bool) -> bool:
        """Mark as deleted, cancel what is unsent, and forget the person when `erase`, which a deleted user can be too.
        False if there is no such user. Raises UserChanged."""

    async def create_many(self, rows: Sequence[tuple[Profile, list[Wanted]]]) -> list[UUID | None]:
        """Store many users in one statement, as `create` does one. For each, in order, its id; None where the address
        is taken, be it by an earlier row."""
