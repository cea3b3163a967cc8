"""Lists of users: filtered, searched, and in the order of their changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.domain.users import User


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Selects users: None leaves a filter out. `birthday` and `anniversary` are month * 100 + day."""

    email: str | None = None
    external_id: str | None = None
    timezone: str | None = None
    birthday: int | None = None
    anniversary: int | None = None


@dataclass(frozen=True, slots=True)
class CreationPosition:
    """A position in the order of the creation of users: after the user with this number and this id."""

    number: int
    user_id: UUID


@dataclass(frozen=True, slots=True)
class UsersFound:
    """Users, and the position after which to look on; None: there are no more."""

    users: Sequence[User]
    more: CreationPosition | None


@dataclass(frozen=True, slots=True)
class ChangePosition:
    """A position in the order of all changes of users: after the change with this number of this user."""

    number: int
    user_id: UUID


@dataclass(frozen=True, slots=True)
class DeletedUser:
    """A user who was deleted. `external_id` is None where there was none, or where the user was erased."""

    id: UUID
    external_id: str | None
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """Users in the order of their latest changes, and where to go on, now if `more`, or another time."""

    users: Sequence[User]
    deleted: Sequence[DeletedUser]
    position: ChangePosition
    more: bool


class UserLists(Protocol):
    """Reads many users. Every method raises Unavailable."""

    async def page(self, wanted: UserFilter, *, after: CreationPosition | None, limit: int) -> UsersFound:
        """Users not deleted, in the order of their creation, those after `after`.

        A creation that is not committed yet holds up those after it, for a second at most. So pages one after another
        pass by no user whose creation had begun before they were read.
        """

    async def search(self, text: str, *, after: CreationPosition | None, limit: int) -> UsersFound:
        """Users with that text in their name or address, without regard to case, as `page` lists them.

        One call looks at a bounded number of users: it may find fewer than `limit`, even none, and there are more.
        """

    async def of_ids(self, ids: Collection[UUID]) -> dict[UUID, User]:
        """Users by these ids, deleted ones included, erased ones not."""

    async def changes(self, since: datetime, *, after: ChangePosition | None, limit: int) -> Changes:
        """Users who were changed at `since` or later, also deleted ones, in the order of their changes.

        A reader that continues at the position, at any time, misses no change: one that is not committed yet holds up
        those after it. One call looks at a bounded number of users.
        """
