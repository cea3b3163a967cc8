"""Which nodes are alive: a row per start, a counter that grows while it lives."""

from __future__ import annotations

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import NodeBeat

_SQL = load("nodes.sql")

BEAT_WITHIN = 2.0
"""Seconds for a beat: one that takes longer is as good as missed."""


class PostgresNodes:
    """Implements `service.ports.Nodes` for a node whose zone data is of the release `tzdata`, such as `2026f`."""

    def __init__(self, database: Database, *, tzdata: str) -> None:
        self._database = database
        self._tzdata = tzdata

    async def enter(self, node: str) -> int:
        return int(await self._database.value(_SQL.enter, node, self._tzdata))

    async def beat(self, incarnation: int) -> bool:
        return await self._database.row(_SQL.beat, incarnation, within=BEAT_WITHIN) is not None

    async def living(self) -> list[NodeBeat]:
        rows = await self._database.fetch(_SQL.living)
        return [NodeBeat(row["incarnation"], row["node"], row["beat"]) for row in rows]

    async def end(self, beat: NodeBeat) -> bool:
        return await self._database.row(_SQL.ended, beat.incarnation, beat.beat) is not None

    async def leave(self, incarnation: int) -> None:
        await self._database.row(_SQL.leave, incarnation)
