"""What `heyday doctor --queries` makes of PostgreSQL's statistics, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator

from actors.doctor.remarks import Remark, bad, warning, well
from service.adapters.postgres.connection import Database
from service.adapters.postgres.statistics import PostgresStatistics, Sessions, Statement, Table

MOST = 10
"""Statements that are listed."""

SLOW = 0.5
"""Seconds that a statement may take on average: the largest batches take a fraction of that."""

LARGE = 10_000
"""Rows from which on it matters how a table is read and cleaned up."""

FEW_SCANS = 10
"""Reads of a large table from end to end that are somebody's curiosity, or a backup."""

DEAD_SHARE = 0.2
"""Share of dead rows at which autovacuum should have come, by its own defaults."""

HOT_SHARE = 0.3
"""Share of updates that touch no index. A message's way moves it from index to index, so it is never all of them."""

LONG_TRANSACTION = 300.0
"""Seconds that a transaction may be open: none of ours is for longer than 30."""

CACHED = 0.95
"""Share of pages that should be found in memory."""


async def check_queries(database: Database) -> list[Remark]:
    """Statements, tables, indexes and sessions. Raises Unavailable."""
    statistics = PostgresStatistics(database)
    tables = await statistics.tables()
    unused = [
        warning(f"index {one.name} on {one.table} has {one.bytes >> 20} MiB, and no query has used it: drop it?")
        for one in await statistics.unused_indexes()
    ]
    return [
        *_statements(await statistics.statements(MOST)),
        *(remark for table in tables for remark in _table(table)),
        *unused,
        *_sessions(await statistics.sessions()),
    ]


def _statements(statements: list[Statement] | None) -> Iterator[Remark]:
    if statements is None:
        yield warning(
            "pg_stat_statements is not there, so slow queries cannot be named: add it to shared_preload_libraries, "
            "restart, and `create extension pg_stat_statements`"
        )
        return
    total = sum(one.seconds for one in statements)
    for one in statements:
        text = (
            f"{one.name}: {one.seconds / total if total else 0:.0%} of the time, {one.calls} calls, "
            f"{one.mean * 1000:.1f} ms on average, {one.longest * 1000:.0f} ms at most"
        )
        yield warning(f"{text}: slow; look at its plan with EXPLAIN (ANALYZE)") if one.mean > SLOW else well(text)


def _table(table: Table) -> Iterator[Remark]:
    if table.live < LARGE:
        return
    if table.scans > FEW_SCANS and table.scanned / table.scans >= LARGE:
        yield warning(
            f"{table.name} ({table.live} rows) was read from end to end {table.scans} times: a query lacks an index; "
            "pg_stat_statements tells which"
        )
    if table.dead > table.live * DEAD_SHARE:
        yield warning(
            f"{table.name} has {table.dead} dead rows beside {table.live}, {_ago(table.vacuumed_ago, 'cleaned up')}: "
            "let autovacuum come sooner (autovacuum_vacuum_scale_factor), or look for an open transaction"
        )
    if table.since_analyze > table.live * DEAD_SHARE:
        yield warning(
            f"{table.name} has changed by {table.since_analyze} rows, {_ago(table.analyzed_ago, 'analyzed')}: the "
            f"planner goes by old figures; `analyze {table.name}`"
        )
    if table.updates > LARGE and table.hot < table.updates * HOT_SHARE:
        yield warning(
            f"{table.name}: {table.hot / table.updates:.0%} of {table.updates} updates touched no index; a lower "
            "fillfactor leaves room for more"
        )


def _sessions(sessions: Sessions) -> Iterator[Remark]:
    used = f"{sessions.connections} of {sessions.max_connections} connections are in use"
    yield (warning if sessions.connections > sessions.max_connections * 0.8 else well)(used)
    if sessions.waiting:
        yield warning(f"{sessions.waiting} sessions wait for a lock: see pg_stat_activity, wait_event_type Lock")
    if sessions.oldest_transaction > LONG_TRANSACTION:
        yield warning(
            f"a transaction has been open for {sessions.oldest_transaction / 60:.0f} minutes: nothing that it may "
            "still see is cleaned up; end it"
        )
    if sessions.cached is not None and sessions.cached < CACHED:
        yield warning(f"{sessions.cached:.0%} of pages were found in memory: more shared_buffers would help")
    if sessions.deadlocks:
        yield warning(f"{sessions.deadlocks} deadlocks since the statistics were reset: the server's log names them")
    if sessions.autovacuum == "off":
        yield bad("autovacuum is off: dead rows of every message that moves stay for ever")


def _ago(seconds: float | None, done: str) -> str:
    return f"never {done}" if seconds is None else f"{done} {seconds / 3600:.1f} h ago"
