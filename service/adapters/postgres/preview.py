"""Looks ahead, and back: users' days beside the messages that they have, by pages, and counts of what will leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import message_of
from service.adapters.postgres.queries import load
from service.domain.users import email_key
from service.ports import Candidate, Day, Load, Person, PersonalDay, Planned, Windows

_SQL = load("preview.sql")
_PLANNING = load("planning.sql")


ASTRAY_WITHIN = 25.0
"""Seconds to look through the messages of a day for those astray, which may be a million; below the server's own."""


class PostgresPreviews:
    """Implements `service.ports.Previews`."""

    def __init__(self, database: Database, *, late_limit: timedelta) -> None:
        self._database = database
        self._late_limit = late_limit

    async def of_day(
        self,
        day: Day,
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
        return [_candidate(row, day.occasion, day.local_year) for row in rows]

    async def astray(
        self,
        windows: Windows,
        instants: Mapping[Day, Mapping[str, datetime]],
        *,
        years: Sequence[int],
        occasion: str | None,
        after: UUID | None,
        limit: int,
    ) -> list[Candidate]:
        looked = {
            f"{day.occasion}/{day.local_year}/{day.month_day}/{zone}": True
            for day, zones in instants.items()
            for zone in zones
        }
        rows = await self._database.fetch(
            _SQL.astray,
            windows.starts_at,
            windows.ends_at,
            years,
            occasion,
            orjson.dumps(looked).decode(),
            after,
            limit,
            within=ASTRAY_WITHIN,
        )
        return [_candidate(row, row["occasion"], row["local_year"]) for row in rows]

    async def person(self, user_id: UUID, years: Sequence[int]) -> Person | None:
        rows = await self._database.fetch(_SQL.person, user_id, years)
        if not rows:
            return None
        first = rows[0]
        return Person(
            first["person"], first["zone"], first["created_at"], first["deleted_at"], tuple(map(_personal_day, rows))
        )

    async def user_of(self, email: str) -> UUID | None:
        found: UUID | None = await self._database.value(_SQL.user_of, email_key(email))
        return found

    async def load(
        self, until: Callable[[Planned], datetime], instants: Callable[[Planned], Mapping[Day, Mapping[str, datetime]]]
    ) -> Load:
        with self._database.timing(_SQL.planned_by_minute):
            async with self._database.transaction() as connection:
                # One snapshot: a message that planning makes meanwhile is counted on one side, and on one only.
                await connection.execute("set transaction isolation level repeatable read, read only")
                row = await connection.fetchrow(_PLANNING.planned_up_to)
                if row is None:
                    raise LookupError("the table planning has lost its row")
                at = Planned(row["now"], row["announced"], row["complete"])
                way = await connection.fetchrow(_SQL.on_the_way, self._late_limit)
                assert way is not None  # noqa: S101 - a select without from has a row
                planned = await connection.fetch(_SQL.planned_by_minute, until(at), self._late_limit)
                to_plan: Counter[tuple[datetime, str]] = Counter()
                for day, zones in instants(at).items():
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


def _lookup(day: Day, instants: Mapping[str, datetime]) -> tuple[str, int, int, str]:
    return day.occasion, day.local_year, day.month_day, orjson.dumps(dict(instants)).decode()


def _candidate(row: asyncpg.Record, occasion: str, local_year: int) -> Candidate:
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
    )


def _personal_day(row: asyncpg.Record) -> PersonalDay:
    return PersonalDay(
        row["code"],
        row["year"],
        row["date"],
        None if row["id"] is None else message_of(row),
        tuple((window.lower, window.upper) for window in row["to_plan"]),
    )
