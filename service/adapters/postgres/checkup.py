"""Reads what `heyday doctor` checks in PostgreSQL: server, privileges, partitions, nodes and waiting messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load

_SQL = load("checkup.sql")


@dataclass(frozen=True, slots=True)
class Server:
    """The server and its settings; `connections` of all clients, and `ours` of heyday.

    `not_archived` is the segment of the log that the archive refused last; None if it accepts, or if there is none.
    """

    version_number: int
    version: str
    standby: bool
    max_connections: int
    reserved: int
    connections: int
    ours: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    not_archived: str | None


@dataclass(frozen=True, slots=True)
class LivingNode:
    """A node that has not ended; `silent` is the seconds since its last heartbeat.

    `version` is that of heyday, and `settings` are those in effect when it started; None: a node of an earlier version.
    """

    incarnation: int
    node: str
    silent: float
    version: str | None
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Work:
    """The ticker's fence (None: its row is gone), and counts of unknown, failed and overdue messages (5 min)."""

    fence: int | None
    unknown: int
    awaiting_dead_letter: int
    overdue: int


class PostgresCheckup:
    """Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        row = await self._database.row(_SQL.server)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Server(*row)

    async def lacking_grants(self) -> list[str]:
        """The statements that give this role what a node needs and it lacks."""
        return [row["statement"] for row in await self._database.fetch(_SQL.lacking_grants)]

    async def years(self) -> tuple[int, list[int]]:
        """This year, and the years that have partitions of messages and attempts."""
        row = await self._database.row(_SQL.years)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return row["this_year"], list(row["years"])

    async def nodes(self) -> list[LivingNode]:
        """Nodes that have not ended."""
        return [
            LivingNode(**{**row, "settings": row["settings"] and orjson.loads(row["settings"])})
            for row in await self._database.fetch(_SQL.nodes)
        ]

    async def work(self) -> Work:
        """The counts of waiting messages."""
        row = await self._database.row(_SQL.work)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Work(*row)

    async def taken_back(self) -> int:
        """The unsent messages that the delivery queue took and did not deliver."""
        number: int = await self._database.value(_SQL.taken_back)
        return number
