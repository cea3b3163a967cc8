"""PostgreSQL's statistics of our queries and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import Unavailable

_SQL = load("statistics.sql")

# Not among the files: the extension is there only where an administrator has made it.
_STATEMENTS = """-- statements
select query, calls, total_exec_time / 1000 as seconds, mean_exec_time / 1000 as mean, max_exec_time / 1000 as longest
from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database()) and calls > 0
order by total_exec_time desc
limit $1
"""

_NAME = re.compile(r"\n-- ([a-z_]+)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and how often it ran; all times in seconds. Ours have the names of the .sql files."""

    name: str
    calls: int
    seconds: float
    mean: float
    longest: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table: rows, full scans, updates, and the seconds since it was vacuumed and analyzed."""

    name: str
    live: int
    dead: int
    scans: int
    scanned: int
    updates: int
    hot: int
    since_analyze: int
    vacuumed_ago: float | None
    analyzed_ago: float | None


@dataclass(frozen=True, slots=True)
class Index:
    """An index that nothing uses."""

    name: str
    table: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """Connections. `oldest_transaction` is in seconds, `oldest_holder` names its session.

    `cached` is the share of pages that were in memory.
    """

    connections: int
    max_connections: int
    waiting: int
    oldest_transaction: float
    oldest_holder: str | None
    cached: float | None
    deadlocks: int
    autovacuum: str


class PostgresStatistics:
    """Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def statements(self, limit: int) -> list[Statement] | None:
        """The statements that took the most time, longest first. None without the extension or its privilege."""
        try:
            rows = await self._database.fetch(_STATEMENTS, limit)
        except Unavailable:
            return None
        return [
            Statement(_name(row["query"]), row["calls"], row["seconds"], row["mean"], row["longest"]) for row in rows
        ]

    async def tables(self) -> list[Table]:
        """Our tables, each partition by itself."""
        return [Table(*row) for row in await self._database.fetch(_SQL.tables)]

    async def unused_indexes(self) -> list[Index]:
        """Large indexes that no query has used."""
        return [Index(*row) for row in await self._database.fetch(_SQL.unused_indexes)]

    async def sessions(self) -> Sessions:
        """The present connections."""
        row = await self._database.row(_SQL.sessions)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Sessions(*row)


def _name(query: str) -> str:
    found = _NAME.search(query)
    return found[1] if found else " ".join(query.split())[:80]
