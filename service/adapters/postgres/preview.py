"""Reads users' days with their messages, by pages, and counts what will be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import message_of
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.queries import load
from service.adapters.postgres.user_lists import PostgresUserLists
from service.domain.dates import parse_day
from service.domain.planning import OccasionDay
from service.domain.recipients import Recipient, recipient
from service.domain.suppressions import ONLY_TO, may_write_to
from service.domain.users import email_key
from service.ports import Candidate, Load, Person, PersonalDay, Planned, Windows
from service.turns import Turns

_SQL = load("preview.sql")
_PLANNING = load("planning.sql")


ASTRAY_WITHIN = 25.0
"""Seconds to search a day, of perhaps a million messages, for orphaned ones. It is below the server's time-out."""


class PostgresPreviews:
    """Implements `service.ports.Previews`. `only_to` has the addresses and `@domains` that may be written to."""

    def __init__(self, database: Database, *, late_limit: timedelta, only_to: Collection[str] | None = None) -> None:
        self._database = database
        self._users = PostgresUserLists(database)
        self._occasions = PostgresOccasions(database)
        self._late_limit = late_limit
        self._only_to = only_to

    def _suppressed(self, row: asyncpg.Record) -> str | None:
        """Return the reason why the address gets nothing, by the same rule as the claim for sending."""
        return row["suppressed"] if may_write_to(row["email_key"], self._only_to) else ONLY_TO

    async def days_with_users(self, days: Sequence[OccasionDay]) -> list[OccasionDay]:
        return _of_places(days, await self._database.fetch(_SQL.days_with_users, *_arrays(days)))

    async def of_day(
        self,
        day: OccasionDay,
        instants: Mapping[str, datetime],
        windows: Windows,
        *,
        deleted: bool,
        after: UUID | None,
        limit: int,
    ) -> list[Candidate]:
        rows = await self._database.fetch(
            _SQL.of_day,
            *_lookup(day, instants),
            after,
            limit,
            windows.starts_at,
            windows.ends_at,
            windows.whole_starts_at,
            windows.whole_ends_at,
            deleted,
        )
        return [_candidate(row, day.occasion, day.local_year, self._suppressed(row)) for row in rows]

    async def orphaned(
        self,
        windows: Windows,
        instants: Mapping[OccasionDay, Mapping[str, datetime]],
        *,
        years: Sequence[int],
        occasion: str | None,
        after: UUID | None,
        limit: int,
    ) -> list[Candidate]:
        looked: dict[str, bool] = {}
        turns = Turns()
        for day, zones in instants.items():
            await turns.give()
            looked.update((f"{day.occasion}/{day.local_year}/{day.month_day}/{zone}", True) for zone in zones)
        rows = await self._database.fetch(
            _SQL.orphaned,
            windows.starts_at,
            windows.ends_at,
            years,
            occasion,
            orjson.dumps(looked).decode(),
            after,
            limit,
            within=ASTRAY_WITHIN,
        )
        return [_candidate(row, row["occasion"], row["local_year"], self._suppressed(row)) for row in rows]

    async def person(self, user_id: UUID, years: Sequence[int]) -> Person | None:
        rows = await self._database.fetch(_SQL.person, user_id, years)
        if not rows:
            return None
        first = rows[0]
        return Person(
            first["person"],
            first["zone"],
            first["created_at"],
            first["deleted_at"],
            tuple(map(_personal_day, rows)),
            self._suppressed(first),
        )

    async def recipients(self, wanted: Sequence[tuple[UUID, str, int | None]]) -> list[Recipient | None]:
        users = await self._users.of_ids({user_id for user_id, _, _ in wanted})
        occasions = {entry.occasion.code: entry.occasion for entry in await self._occasions.all()} if users else {}
        return [
            recipient(users[user_id], occasions.get(code), local_year) if user_id in users else None
            for user_id, code, local_year in wanted
        ]

    async def user_of(self, email: str) -> UUID | None:
        found: UUID | None = await self._database.value(_SQL.user_of, email_key(email))
        return found

    async def load(
        self,
        until: Callable[[Planned], datetime],
        days: Callable[[Planned], Sequence[OccasionDay]],
        instants: Callable[[Planned, OccasionDay], Mapping[str, datetime]],
    ) -> Load:
        with self._database.timing(_SQL.planned_by_minute):
            async with self._database.transaction() as connection:
                # One snapshot: a message that planning makes meanwhile is counted on one side, and on one only.
                await connection.execute("set transaction isolation level repeatable read, read only")
                row = await connection.fetchrow(_PLANNING.planned_until)
                if row is None:
                    raise LookupError("the table planning has lost its row")
                at = Planned(row["now"], row["announced"], row["complete"])
                way = await connection.fetchrow(_SQL.on_the_way, self._late_limit)
                assert way is not None  # noqa: S101 - a select without from has a row
                planned = await connection.fetch(_SQL.planned_by_minute, until(at), self._late_limit)
                to_plan: Counter[tuple[datetime, str]] = Counter()
                turns = Turns()
                may_come = days(at)
                for day in _of_places(may_come, await connection.fetch(_SQL.days_with_users, *_arrays(may_come))):
                    await turns.give()
                    if not (zones := instants(at, day)):
                        continue
                    for found in await connection.fetch(_SQL.to_plan_by_instant, *_lookup(day, zones)):
                        to_plan[found["at"], day.occasion] += found["count"]
        return Load(
            at,
            way["due"],
            way["queued"],
            way["sending"],
            {(found["at"], found["occasion"]): found["count"] for found in planned},
            to_plan,
        )


def _arrays(days: Sequence[OccasionDay]) -> tuple[list[str], list[int]]:
    return [day.occasion for day in days], [day.month_day for day in days]


def _of_places(days: Sequence[OccasionDay], rows: Sequence[asyncpg.Record]) -> list[OccasionDay]:
    return [days[row["place"] - 1] for row in rows]


def _lookup(day: OccasionDay, instants: Mapping[str, datetime]) -> tuple[str, int, int, str]:
    return day.occasion, day.local_year, day.month_day, orjson.dumps(dict(instants)).decode()


def _candidate(row: asyncpg.Record, occasion: str, local_year: int, suppressed: str | None) -> Candidate:
    return Candidate(
        row["person"],
        occasion,
        local_year,
        row["zone"],
        row["created_at"],
        row["deleted_at"],
        row["instant"],
        None if row["id"] is None else message_of(row),
        row["to_plan"],
        row["is_first_year"],
        suppressed,
    )


def _personal_day(row: asyncpg.Record) -> PersonalDay:
    return PersonalDay(
        row["code"],
        row["year"],
        None if row["date"] is None else parse_day(row["date"]),
        None if row["id"] is None else message_of(row),
        tuple((window.lower, window.upper) for window in row["to_plan"]),
    )
