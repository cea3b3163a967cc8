"""The rows of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User
from service.ports.audit import Principal
from service.ports.errors import ExternalIdTaken, RowRefused
from service.ports.requests import IdempotencyKey

Created: TypeAlias = UUID | RowRefused | ExternalIdTaken | None
"""The result of a row of `create_many`."""


class UserEdit(Protocol):
    """A user who is locked for a change, within a transaction."""

    @property
    def user(self) -> User:
        """The user before the change."""

    @property
    def now(self) -> datetime:
        """Business time of the transaction."""

    async def store(self, profile: Profile, desired: list[DesiredMessage]) -> User:
        """Store the profile, and move the messages as `desired` says. Raises EmailTaken,
        ExternalIdTaken, RowRefused."""


class UserEdits(Protocol):
    """Users who are locked for changes, within a transaction."""

    @property
    def users(self) -> Mapping[UUID, User]:
        """The users before the changes, by id. Those who are not there, or no longer, are left out."""

    @property
    def now(self) -> datetime:
        """Business time of the transaction."""

    async def store(self, changes: Sequence[tuple[UUID, Profile, list[DesiredMessage]]]) -> None:
        """Store profiles, one at most for each user, and move the messages as `desired` says: all of them, or none.

        Raises EmailTaken, ExternalIdTaken, RowRefused when one of them is refused.
        """


class Users(Protocol):
    """The rows of users. Every method raises Unavailable."""

    async def create(
        self, profile: Profile, desired: list[DesiredMessage], *, key: IdempotencyKey | None = None
    ) -> User:
        """Store a user and the messages whose instants planning has already reached.

        With `key`, the same transaction keeps that this user was created under that key. Raises EmailTaken,
        ExternalIdTaken, RowRefused, and ReservationLost when the key is in use.
        """

    async def get(self, user_id: UUID) -> User | None:
        """A user, or None if there is none, or no longer."""

    async def match(self, wanted: Sequence[tuple[str | None, str]]) -> list[User | None]:
        """For each external id and address the user it means, in order: who has that external id; if there is none, who
        has that address and no external id of their own. Without an external id, who has that address."""

    def editing(self, user_id: UUID, *, version: int | None) -> AbstractAsyncContextManager[UserEdit]:
        """Lock a user, at this version unless it is None, for the changes of one transaction.

        The end of the block commits it, and an exception rolls it back. Raises UserNotFound, UserChanged.
        """

    def editing_many(self, user_ids: Sequence[UUID]) -> AbstractAsyncContextManager[UserEdits]:
        """Lock users for the changes of one transaction, as `editing` locks one."""

    async def delete(self, user_id: UUID, *, version: int | None, by: Principal, erase: bool = False) -> bool:
        """Mark as deleted, and cancel what is unsent. False if there is no such user. Raises UserChanged.

        With `erase`, all personal data is removed, also of a user who was deleted before. The same transaction adds the
        deletion, or the erasure, to the audit log.
        """

    async def new_ids(self, count: int) -> list[UUID]:
        """Ids for users that will be created soon, in the order of time."""

    async def create_many(
        self,
        rows: Sequence[tuple[Profile, list[DesiredMessage]]],
        *,
        ids: Sequence[UUID] | None = None,
        again: bool = False,
        now: datetime | None = None,
    ) -> list[Created]:
        """Store many users in one statement, as `create` does one.

        Returns, in order, the id of each, None where the address is taken, also by an earlier row, ExternalIdTaken
        where the key is, and RowRefused where the database refuses the row: no row stops another. `ids` are those to
        give. With `again`, rows that an earlier call stored under these ids count as stored: its answer may be lost.
        `now` is business time as the caller knows it: it spares the database the instants before it.
        """
