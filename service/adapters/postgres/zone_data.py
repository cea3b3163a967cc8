"""The release of the zone data that unsent messages follow, in the row of planning and in each node's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import Day, Followed, Shifted, UnsentDay

_SQL = load("zone_data.sql")
_PLANNING = load("planning.sql")

FOLLOW_WITHIN = 300.0
"""Seconds to look at, or to move, everything unsent: a million messages of one zone take some tens of them."""


class PostgresZoneData:
    """Implements `service.ports.ZoneData` for a node whose zone data is of this `release`, such as `2026f`."""

    def __init__(self, database: Database, *, release: str) -> None:
        self._database = database
        self._release = release

    async def followed(self) -> Followed:
        row = await self._database.row(_SQL.followed, self._release)
        if row is None:
            raise LookupError("the table planning has lost its row")
        return Followed(row["release"], row["up_to"], row["agreed"])

    async def unsent(self) -> list[UnsentDay]:
        async with self._database.transaction() as connection:
            await connection.execute(_PATIENTLY)
            rows = await connection.fetch(_SQL.unsent, self._release, timeout=FOLLOW_WITHIN)
        return [
            UnsentDay(
                Day(row["occasion"], row["local_year"], row["month_day"]),
                row["timezone"],
                row["send_at"],
                row["messages"],
            )
            for row in rows
        ]

    async def follow(
        self, shifted: Sequence[Shifted], *, days: Sequence[Day], starts_at: datetime, ends_at: datetime
    ) -> list[int]:
        unsent = [one.unsent for one in shifted]
        async with self._database.transaction() as connection:
            await connection.execute(_PATIENTLY)
            rows = await connection.fetch(
                _PLANNING.add_ranges,
                [day.occasion for day in days],
                [day.local_year for day in days],
                [day.month_day for day in days],
                [None] * len(days),
                [None] * len(days),
                starts_at,
                ends_at,
            )
            await connection.execute(
                _SQL.shift,
                [one.day.occasion for one in unsent],
                [one.day.local_year for one in unsent],
                [one.day.month_day for one in unsent],
                [one.timezone for one in unsent],
                [one.send_at for one in unsent],
                [one.send_at for one in shifted],
                self._release,
                timeout=FOLLOW_WITHIN,
            )
            await connection.execute(_SQL.note, self._release)
            return [row["id"] for row in rows]

    async def fall_back(self) -> None:
        await self._database.fetch(_SQL.fall_back, self._release)


_PATIENTLY = f"set local statement_timeout = '{FOLLOW_WITHIN:.0f}s'"
