"""The fake of the port `Users`: every change moves the messages that it touches at the same instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.users import Profile, User, email_key
from service.ports import EmailTaken, UserChanged, Wanted
from tests.fakes.rows import UserRow, check
from tests.fakes.truth import Truth
from tests.fakes.user_messages import cancel_user, plan_user


class FakeUsers:
    """Implements `service.ports.Users`."""

    def __init__(self, truth: Truth, *, late_limit: timedelta, tzdata: str) -> None:
        self._truth = truth
        self._late_limit = late_limit
        self._tzdata = tzdata

    async def create(self, profile: Profile, wanted: list[Wanted]) -> User:
        truth, now = self._truth, self._truth.now()
        self._check_occasions(profile)
        key = email_key(profile.email)
        if truth.has_address(key):
            raise EmailTaken
        row = truth.put_user(
            UserRow(id=truth.new_user_id(), profile=profile, email_key=key, version=1, created_at=now, updated_at=now)
        )
        for one in wanted:
            if one.send_at is not None and now < one.send_at < truth.planned_up_to:
                at = one.send_at
                made = truth.insert_message(row, one.occasion, one.local_year, at, due_at=at, tzdata=self._tzdata)
                check("messages_once", holds=made)
        return _user(row)

    async def create_many(self, rows: Sequence[tuple[Profile, list[Wanted]]]) -> list[UUID | None]:
        ids: list[UUID | None] = []
        for profile, wanted in rows:
            try:
                ids.append((await self.create(profile, wanted)).id)
            except EmailTaken:
                ids.append(None)
        return ids

    async def get(self, user_id: UUID) -> User | None:
        row = self._truth.user(user_id)
        return None if row is None else _user(row)

    async def page(
        self, *, after: UUID | None, limit: int, email: str | None, timezone: str | None, birthday: int | None
    ) -> list[User]:
        def matches(row: UserRow) -> bool:
            day = row.profile.dates.get("birthday")
            return (
                row.deleted_at is None
                and (after is None or row.id > after)
                and (email is None or row.email_key == email_key(email))
                and (timezone is None or row.profile.timezone == timezone)
                and (birthday is None or (day is not None and day.month * 100 + day.day == birthday))
            )

        found = sorted(filter(matches, self._truth.users.values()), key=lambda row: row.id)
        return [_user(row) for row in found[:limit]]

    async def change(
        self,
        user_id: UUID,
        edit: Callable[[User], Profile],
        plan: Callable[[Profile, Profile, datetime], list[Wanted]],
        *,
        version: int | None,
    ) -> User | None:
        truth, now = self._truth, self._truth.now()
        before = truth.user(user_id)
        if before is None:
            return None
        _same_version(before, version)
        profile = edit(_user(before))
        self._check_occasions(profile)
        key = email_key(profile.email)
        if truth.has_address(key, but=user_id):
            raise EmailTaken
        wanted = plan(before.profile, profile, now)
        row = truth.put_user(
            replace(before, profile=profile, email_key=key, version=before.version + 1, updated_at=now)
        )
        plan_user(truth, row, wanted, late_limit=self._late_limit, tzdata=self._tzdata)
        return _user(row)

    async def delete(self, user_id: UUID, *, version: int | None, erase: bool) -> bool:
        truth, now = self._truth, self._truth.now()
        row = truth.users.get(user_id)
        # Who was deleted can still be erased, once.
        if row is None or (row.profile.email == "" if erase else row.deleted_at is not None):
            return False
        _same_version(row, version)
        row = replace(row, deleted_at=row.deleted_at or now, updated_at=now, version=row.version + 1)
        if erase:
            nobody = Profile("", "", "", "UTC", {})
            row = replace(row, profile=nobody, email_key=str(user_id))
            shown = f"/api/v1/users/{user_id}"
            kept = truth.idempotency_keys.items()
            truth.idempotency_keys = {key: answer for key, answer in kept if answer.resource != shown}
        cancel_user(truth, truth.put_user(row))
        return True

    def _check_occasions(self, profile: Profile) -> None:
        check("occasion_dates_occasion_fkey", holds=profile.dates.keys() <= self._truth.occasions.keys())


def _same_version(row: UserRow, version: int | None) -> None:
    if version is not None and row.version != version:
        raise UserChanged(row.version)


def _user(row: UserRow) -> User:
    return User(row.id, row.profile, row.version, row.created_at, row.updated_at)
