"""The release of the zone data that unsent messages follow, in the row of planning and in each node's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.postgres.set_aside import SetAsideMessages
from service.domain.planning import OccasionDay, TzdataMove, UnsentDay
from service.ports import Followed, SetAside

_SQL = load("zone_data.sql")
_PLANNING = load("planning.sql")

FOLLOW_WITHIN = 300.0
"""Seconds to read, or to move, all unsent messages. A million in one zone take some tens of seconds."""


class PostgresZoneData:
    """Implements `service.ports.ZoneData` for a node whose zone data is of this `release`, such as `2026f`."""

    def __init__(
        self, database: Database, *, release: str, on_set_aside: Callable[[SetAside], None] = lambda _message: None
    ) -> None:
        self._database = database
        self._aside = SetAsideMessages(database, on_set_aside)
        self._release = release

    async def followed(self) -> Followed:
        row = await self._database.row(_SQL.followed, self._release)
        if row is None:
            raise LookupError("the table planning has lost its row")
        return Followed(row["release"], row["planned_until"], row["agreed"], row["latest_node"])

    async def unsent(self) -> list[UnsentDay]:
        rows = await self._fetch(_SQL.unsent, self._release)
        return [
            UnsentDay(
                OccasionDay(row["occasion"], row["local_year"], row["month_day"]),
                row["timezone"],
                row["send_at"],
                row["messages"],
            )
            for row in rows
        ]

    async def follow(
        self,
        moves: Sequence[TzdataMove],
        *,
        days: Sequence[OccasionDay],
        starts_at: datetime,
        ends_at: datetime,
        read: Followed,
    ) -> list[int]:
        columns = _columns(moves)

        async def shift(some: Sequence[UUID] | None) -> list[asyncpg.Record]:
            return await self._fetch(_SQL.shift, *columns, self._release, some)

        async def find() -> list[UUID]:
            return [row["id"] for row in await self._fetch(_SQL.shift_ids, *columns)]

        # One row that cannot be moved keeps no other at the instant of the older release. This commits first: an edit
        # may wait for its messages, and a deletion of an occasion that has the row of planning for the edit.
        await self._aside.run_or_find("follow_zones", shift, find)
        async with self._database.transaction() as connection:
            await connection.execute(_PLANNING.lock_planning)
            rows = await connection.fetch(
                _PLANNING.add_ranges,
                [day.occasion for day in days],
                [day.local_year for day in days],
                [day.month_day for day in days],
                [None] * len(days),
                [None] * len(days),
                starts_at,
                ends_at,
                False,
            )
            if read.agreed:
                await connection.execute(_SQL.note, self._release, read.latest_node)
            return [row["id"] for row in rows]

    async def _fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement that may take as long as all unsent messages do. Raises Unavailable."""
        with self._database.timing(query):
            async with self._database.transaction() as connection:
                await connection.execute(_PATIENTLY)
                rows: list[asyncpg.Record] = await connection.fetch(query, *args, timeout=FOLLOW_WITHIN)
                return rows

    async def fall_back(self) -> None:
        await self._database.fetch(_SQL.fall_back, self._release)


def _columns(moves: Sequence[TzdataMove]) -> tuple[list[object], ...]:
    unsent = [one.unsent for one in moves]
    return (
        [one.day.occasion for one in unsent],
        [one.day.local_year for one in unsent],
        [one.day.month_day for one in unsent],
        [one.timezone for one in unsent],
        [one.send_at for one in unsent],
        [one.send_at for one in moves],
    )


_PATIENTLY = f"set local statement_timeout = '{FOLLOW_WITHIN:.0f}s'"
