"""The fake of the port `Users`: a change also changes the user's messages, at the same instant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.planning import DesiredMessage
from service.domain.suppressions import address_hash
from service.domain.users import Profile, User, email_key
from service.ports import (
    AuditAction,
    Created,
    EmailTaken,
    ExternalIdTaken,
    IdempotencyKey,
    Principal,
    RowRefused,
    UserChanged,
    UserNotFound,
)
from tests.fakes.rows import UserRow, check
from tests.fakes.truth import Truth
from tests.fakes.user_messages import cancel_user, plan_user


class FakeUsers:
    """Implements `service.ports.Users`."""

    def __init__(self, truth: Truth, *, late_limit: timedelta, tzdata: str) -> None:
        self._truth = truth
        self._late_limit = late_limit
        self._tzdata = tzdata

    async def create(
        self, profile: Profile, desired: list[DesiredMessage], *, key: IdempotencyKey | None = None
    ) -> User:
        if key is not None:
            raise NotImplementedError("the fake keeps no responses")
        self._truth.require_rules({one.rules_version for one in desired})
        return _user(self._create(profile, desired, None))

    async def new_ids(self, count: int) -> list[UUID]:
        return [self._truth.new_user_id() for _ in range(count)]

    async def create_many(
        self,
        rows: Sequence[tuple[Profile, list[DesiredMessage]]],
        *,
        ids: Sequence[UUID] | None = None,
        again: bool = False,
        now: datetime | None = None,
    ) -> list[Created]:
        made: list[Created] = []
        given: Sequence[UUID | None] = ids or [None] * len(rows)
        self._truth.require_rules({one.rules_version for _, desired in rows for one in desired})
        for (profile, desired), id_ in zip(rows, given, strict=True):
            try:
                made.append(self._create(profile, desired, id_).id)
            except EmailTaken:
                made.append(id_ if again and id_ in self._truth.users else None)
            except (ExternalIdTaken, RowRefused) as error:
                made.append(error)
        return made

    def _create(self, profile: Profile, desired: list[DesiredMessage], id_: UUID | None) -> UserRow:
        truth, now = self._truth, self._truth.now()
        key = email_key(profile.email)
        if truth.has_external_id(profile.external_id):
            raise ExternalIdTaken
        if truth.has_address(key):
            raise EmailTaken
        self._check_occasions(profile)
        row = truth.put_user(
            UserRow(
                id=id_ or truth.new_user_id(), profile=profile, email_key=key, version=1, created_at=now, updated_at=now
            )
        )
        for one in desired:
            if one.send_at is not None and now < one.send_at < truth.planned_until:
                at = one.send_at
                made = truth.insert_message(row, one.occasion, one.local_year, at, due_at=at, tzdata=self._tzdata)
                check("messages_once", holds=made)
        return row

    async def get(self, user_id: UUID) -> User | None:
        row = self._truth.user(user_id)
        return None if row is None else _user(row)

    async def match(self, wanted: Sequence[tuple[str | None, str]]) -> list[User | None]:
        living = [row for row in self._truth.users.values() if row.deleted_at is None]

        def find(external_id: str | None, email: str) -> UserRow | None:
            for row in living:
                if external_id is not None and row.profile.external_id == external_id:
                    return row
            for row in living:
                if row.email_key == email_key(email) and None in (external_id, row.profile.external_id):
                    return row
            return None

        found = [find(*one) for one in wanted]
        return [None if row is None else _user(row) for row in found]

    @asynccontextmanager
    async def editing(self, user_id: UUID, *, version: int | None) -> AsyncIterator[_Edit]:
        before = self._truth.user(user_id)
        if before is None:
            raise UserNotFound
        _same_version(before, version)
        yield _Edit(self, before)

    @asynccontextmanager
    async def editing_many(self, user_ids: Sequence[UUID]) -> AsyncIterator[_Edits]:
        found = [self._truth.user(user_id) for user_id in user_ids]
        yield _Edits(self, {row.id: row for row in found if row is not None})

    def check_edits(self, changes: Sequence[tuple[UUID, Profile, list[DesiredMessage]]]) -> None:
        """Raise what one of these edits meets, made after one another."""
        truth = self._truth
        taken: dict[str, UUID] = {}
        for user_id, profile, desired in changes:
            if truth.has_external_id(profile.external_id, but=user_id):
                raise ExternalIdTaken
            key = email_key(profile.email)
            if truth.has_address(key, but=user_id) or taken.setdefault(key, user_id) != user_id:
                raise EmailTaken
            self._check_occasions(profile)
            truth.require_rules({one.rules_version for one in desired})

    def transaction(self) -> AbstractContextManager[None]:
        """Undo everything when the block raises."""
        return self._truth.transaction()

    def store(self, before: UserRow, profile: Profile, desired: list[DesiredMessage], now: datetime) -> UserRow:
        """Store an edit."""
        truth = self._truth
        key = email_key(profile.email)
        if truth.has_external_id(profile.external_id, but=before.id):
            raise ExternalIdTaken
        if truth.has_address(key, but=before.id):
            raise EmailTaken
        self._check_occasions(profile)
        truth.require_rules({one.rules_version for one in desired})
        with truth.transaction():
            row = truth.put_user(
                replace(before, profile=profile, email_key=key, version=before.version + 1, updated_at=now)
            )
            plan_user(truth, row, desired, late_limit=self._late_limit, tzdata=self._tzdata)
        return row

    @property
    def now(self) -> datetime:
        """Business time."""
        return self._truth.now()

    async def delete(self, user_id: UUID, *, version: int | None, by: Principal, erase: bool = False) -> bool:
        truth, now = self._truth, self._truth.now()
        row = truth.users.get(user_id)
        # Who was deleted can still be erased, once.
        if row is None or (row.profile.email == "" if erase else row.deleted_at is not None):
            return False
        _same_version(row, version)
        address = address_hash(row.profile.email)
        row = replace(row, deleted_at=row.deleted_at or now, updated_at=now, version=row.version + 1)
        with truth.transaction():
            if erase:
                erased = Profile("", None, "", "UTC", {})
                row = replace(row, profile=erased, email_key=str(user_id))
                truth.forget_address(address)
            truth.record_change(by, AuditAction.USER_ERASED if erase else AuditAction.USER_DELETED, [user_id])
            cancel_user(truth, truth.put_user(row))
        return True

    def _check_occasions(self, profile: Profile) -> None:
        if not profile.dates.keys() <= self._truth.occasions.keys():
            raise RowRefused("no such occasion")


class _Edit:
    """Implements `service.ports.UserEdit`. It stores at once, because no other task runs between the two steps."""

    def __init__(self, users: FakeUsers, before: UserRow) -> None:
        self.user = _user(before)
        self.now = users.now
        self._users = users
        self._before = before

    async def store(self, profile: Profile, desired: list[DesiredMessage]) -> User:
        return _user(self._users.store(self._before, profile, desired, self.now))


class _Edits:
    """Implements `service.ports.UserEdits`. It stores at once, because no other task runs between the two steps."""

    def __init__(self, users: FakeUsers, before: dict[UUID, UserRow]) -> None:
        self.users = {user_id: _user(row) for user_id, row in before.items()}
        self.now = users.now
        self._users = users
        self._before = before

    async def store(self, changes: Sequence[tuple[UUID, Profile, list[DesiredMessage]]]) -> None:
        self._users.check_edits(changes)
        with self._users.transaction():
            for user_id, profile, desired in changes:
                self._users.store(self._before[user_id], profile, desired, self.now)


def _same_version(row: UserRow, version: int | None) -> None:
    if version is not None and row.version != version:
        raise UserChanged(row.version)


def _user(row: UserRow) -> User:
    return User(row.id, row.profile, row.version, row.created_at, row.updated_at)
