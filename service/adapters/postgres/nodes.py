"""Keeps the living nodes: a row per start, a counter that grows while it lives."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.planning import CalendarDefaults
from service.ports import NodeBeat

_SQL = load("nodes.sql")

BEAT_WITHIN = 2.0
"""Seconds for a heartbeat, and for a look at those of all nodes. A slower one counts as missed.

One look that hangs must not keep a node from seeing for long that another is dead.
"""


class PostgresNodes:
    """Implements `service.ports.Nodes` for a node whose zone data is of the release `tzdata`, such as `2026f`.

    `heartbeats` is a small pool that neither requests of the API nor the work on messages use. A node whose other
    connections are all in use by slow statements is alive, and must show it. `defaults` are those of the node's
    environment. `version` is that of heyday, and `settings` are those in effect, for people who compare nodes.
    """

    def __init__(
        self,
        database: Database,
        *,
        heartbeats: Database | None = None,
        tzdata: str,
        defaults: CalendarDefaults | None = None,
        version: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._heartbeats = heartbeats or database
        self._tzdata = tzdata
        self._defaults = defaults or CalendarDefaults()
        self._version = version
        self._settings = None if settings is None else orjson.dumps(settings).decode()

    async def enter(self, node: str) -> int:
        defaults = self._defaults
        return int(
            await self._heartbeats.value(
                _SQL.enter, node, self._tzdata, defaults.send_at, defaults.leap_day, self._version, self._settings
            )
        )

    async def visit(self, name: str) -> int:
        """Begin an incarnation that has ended, for the records of a command. One that lives must send heartbeats."""
        incarnation = await self.enter(name)
        await self.leave(incarnation)
        return incarnation

    async def beat(self, incarnation: int) -> bool:
        return await self._heartbeats.row(_SQL.beat, incarnation, within=BEAT_WITHIN) is not None

    async def living(self) -> list[NodeBeat]:
        rows = await self._database.fetch(_SQL.living, within=BEAT_WITHIN)
        return [NodeBeat(row["incarnation"], row["node"], row["heartbeat"]) for row in rows]

    async def end(self, beat: NodeBeat) -> bool:
        return await self._database.row(_SQL.ended, beat.incarnation, beat.heartbeat) is not None

    async def leave(self, incarnation: int) -> None:
        await self._heartbeats.row(_SQL.leave, incarnation)
