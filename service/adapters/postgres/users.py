"""Users and their days; every change moves the messages that it touches in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.together import Together
from service.domain.users import Profile, User, email_key
from service.ports import EmailTaken, UserChanged, Wanted

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("users.sql")
_PLANNING = load("planning.sql")

_ONE_ADDRESS = "users_email_key"
"""The constraint that keeps addresses unique among users not deleted."""


MOST_AT_ONCE = 64
"""Users created or read by one statement for requests that came at the same time."""

ROUNDS = 2
"""Such statements under way at once: while the server commits one it can work on the other."""


class PostgresUsers:
    """Implements `service.ports.Users`. `tzdata` is the version that instants are computed with."""

    def __init__(self, database: Database, *, late_limit: timedelta, tzdata: str) -> None:
        self._database = database
        self._late_limit = late_limit
        self._tzdata = tzdata
        self._creating = Together(self._create, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)
        self._reading = Together(self._read, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)

    async def create(self, profile: Profile, wanted: list[Wanted]) -> User:
        row = await self._creating((profile, wanted))
        if row is None:
            raise EmailTaken
        return User(row["id"], profile, row["version"], row["created_at"], row["updated_at"])

    async def create_many(self, rows: Sequence[tuple[Profile, list[Wanted]]]) -> list[UUID | None]:
        return [None if row is None else row["id"] for row in await self._create(rows)]

    async def _create(self, rows: Sequence[tuple[Profile, list[Wanted]]]) -> list[asyncpg.Record | None]:
        """The row of each, None for a taken address."""
        lines = range(len(rows))
        days = [(line, *day) for line in lines for day in rows[line][0].dates.items()]
        instants = [(line, w) for line in lines for w in rows[line][1] if w.send_at is not None]
        found = await self._database.fetch(
            _SQL.create_users,
            *zip(*(_columns(profile) for profile, _ in rows), strict=True),
            list(lines),
            [line for line, _, _ in days],
            [occasion for _, occasion, _ in days],
            [day for _, _, day in days],
            [line for line, _ in instants],
            *_arrays([w for _, w in instants]),
            self._tzdata,
        )
        made = {row["line"]: row for row in found}
        return [made.get(line) for line in lines]

    async def get(self, user_id: UUID) -> User | None:
        row = await self._reading(user_id)
        return None if row is None else _user(row)

    async def _read(self, user_ids: Sequence[UUID]) -> list[asyncpg.Record | None]:
        found = {row["id"]: row for row in await self._database.fetch(_SQL.get_users, user_ids)}
        return [found.get(user_id) for user_id in user_ids]

    async def page(
        self, *, after: UUID | None, limit: int, email: str | None, timezone: str | None, birthday: int | None
    ) -> list[User]:
        key = None if email is None else email_key(email)
        rows = await self._database.fetch(_SQL.list_users, after, key, timezone, birthday, limit)
        return [_user(row) for row in rows]

    async def change(
        self,
        user_id: UUID,
        edit: Callable[[User], Profile],
        plan: Callable[[Profile, Profile, datetime], list[Wanted]],
        *,
        version: int | None,
    ) -> User | None:
        try:
            async with self._database.transaction() as connection:
                now = await self._lock(connection, user_id, version)
                if now is None:
                    return None
                before = _user(await _one(connection, _SQL.get_user, user_id))
                profile = edit(before)
                row = await _one(connection, _SQL.update_user, user_id, *_columns(profile))
                await connection.execute(_SQL.drop_dates, user_id, list(profile.dates))
                await connection.execute(
                    _SQL.put_dates, user_id, list(profile.dates.keys()), list(profile.dates.values())
                )
                if wanted := plan(before.profile, profile, now):
                    await connection.fetch(
                        _PLANNING.plan_user, user_id, *_arrays(wanted), self._late_limit, self._tzdata
                    )
                return User(row["id"], profile, row["version"], row["created_at"], row["updated_at"])
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != _ONE_ADDRESS:
                raise
            raise EmailTaken from error

    async def delete(self, user_id: UUID, *, version: int | None, erase: bool) -> bool:
        async with self._database.transaction() as connection:
            lock = _SQL.lock_user_or_deleted if erase else _SQL.lock_user
            if await self._lock(connection, user_id, version, lock) is None:
                return False
            await connection.execute(_SQL.delete_user, user_id)
            await connection.execute(_PLANNING.cancel_user, user_id)
            if erase:
                await connection.execute(_SQL.drop_all_dates, user_id)
                await connection.execute(_SQL.erase_user, user_id)
                await connection.execute(_SQL.forget_answers, f"/api/v1/users/{user_id}")
            return True

    async def _lock(
        self, connection: Connection, user_id: UUID, version: int | None, lock: str = _SQL.lock_user
    ) -> datetime | None:
        """Lock the row until the end of the transaction; business time, or None if there is no such user."""
        row = await connection.fetchrow(lock, user_id)
        if row is None:
            return None
        if version is not None and row["version"] != version:
            raise UserChanged(row["version"])
        now: datetime = row["now"]
        return now


async def _one(connection: Connection, query: str, *args: object) -> asyncpg.Record:
    row = await connection.fetchrow(query, *args)
    assert row is not None  # noqa: S101 - its row is locked by this transaction
    return row


def _columns(profile: Profile) -> tuple[str | None, ...]:
    return (
        profile.first_name,
        profile.last_name,
        profile.email,
        email_key(profile.email),
        profile.timezone,
        profile.location_city,
        profile.location_country,
    )


def _arrays(wanted: list[Wanted]) -> tuple[list[str], list[int], list[datetime | None]]:
    return [w.occasion for w in wanted], [w.local_year for w in wanted], [w.send_at for w in wanted]


def _user(row: asyncpg.Record) -> User:
    dates = {occasion: date.fromisoformat(day) for occasion, day in json.loads(row["dates"]).items()}
    profile = Profile(
        row["first_name"],
        row["last_name"],
        row["email"],
        row["timezone"],
        dates,
        row["location_city"],
        row["location_country"],
    )
    return User(row["id"], profile, row["version"], row["created_at"], row["updated_at"])
