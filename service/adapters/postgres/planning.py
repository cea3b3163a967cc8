"""Planning: the announced instant, the ranges still to plan, and the messages made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import Day, OccasionRow, Planned, PlanRange

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("planning.sql")

USERS_PER_RANGE = 5_000
"""Users of one range: a transaction of well under a second, and enough ranges for every node to have some."""

PLAN_WITHIN = 25.0
"""Seconds to plan one range; below the server's own statement time-out."""


class PostgresPlanning:
    """Implements `service.ports.Planning`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def occasions(self) -> list[OccasionRow]:
        return [OccasionRow(*row) for row in await self._database.fetch(_SQL.occasions)]

    async def planned(self) -> Planned:
        row = await self._database.row(_SQL.planned_up_to)
        if row is None:
            raise LookupError("the table planning has lost its row")
        return Planned(row["now"], row["announced"], row["complete"])

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[Day]
    ) -> list[int] | None:
        # Committed before the announcement: whoever waits for that one in the middle of a statement would not see a
        # partition that came with it.
        for year in sorted({day.local_year for day in days} | {up_to.year + 1}):
            await self._database.fetch(_SQL.ensure_year, year)
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SQL.job_run, job, scheduled_at, incarnation) is None:
                return None
            await connection.execute(_SQL.forget_job_runs)
            # The cuts need not be exact, only cover everybody: so they are made before writers are kept waiting.
            parts = [part for day in days for part in await _split(connection, day)]
            await connection.execute(_SQL.plan_lock)
            before = await connection.fetchval(_SQL.announced)
            if before >= up_to:
                return []
            rows = await connection.fetch(
                _SQL.add_ranges,
                [day.occasion for day, _, _ in parts],
                [day.local_year for day, _, _ in parts],
                [day.month_day for day, _, _ in parts],
                [after for _, after, _ in parts],
                [until for _, _, until in parts],
                before,
                up_to,
            )
            await connection.execute(_SQL.announce, up_to)
            return [row["id"] for row in rows]

    async def open_ranges(self, *, older_than: float, limit: int) -> list[int]:
        return [row["id"] for row in await self._database.fetch(_SQL.open_ranges, older_than, limit)]

    async def plan(
        self, range_id: int, instants: Callable[[PlanRange], Sequence[tuple[str, datetime]]], *, tzdata: str
    ) -> int | None:
        with self._database.timing(_SQL.plan_range):
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_SQL.take_range, range_id)
                if row is None:
                    return None
                day = Day(row["occasion"], row["local_year"], row["month_day"])
                plan_range = PlanRange(day, row["after_user"], row["until_user"], row["starts_at"], row["ends_at"])
                zones = instants(plan_range)
                status = await connection.execute(
                    _SQL.plan_range,
                    day.occasion,
                    day.local_year,
                    day.month_day,
                    plan_range.after_user,
                    plan_range.until_user,
                    [zone for zone, _ in zones],
                    [instant for _, instant in zones],
                    tzdata,
                    timeout=PLAN_WITHIN,
                )
                return int(status.rsplit(" ", 1)[1])  # "INSERT 0 n"


async def _split(connection: Connection, day: Day) -> list[tuple[Day, UUID | None, UUID | None]]:
    """The parts of a day as (day, after, until); one even if nobody has that day yet."""
    cuts: list[UUID | None] = [
        row["user_id"] for row in await connection.fetch(_SQL.split, day.occasion, day.month_day, USERS_PER_RANGE)
    ]
    return list(zip([day] * (len(cuts) + 1), [None, *cuts], [*cuts, None], strict=True))
