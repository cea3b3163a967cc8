"""`heyday doctor --queries`: findings from the statistics of PostgreSQL, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator

from actors.commands.doctor.check_results import CheckResult, error, ok, warning
from actors.commands.output import counted
from service.adapters.postgres.connection import Database
from service.adapters.postgres.statistics import PostgresStatistics, Sessions, Statement, Table

STATEMENTS_SHOWN = 10
"""Statements that are listed, slowest in total first."""

SLOW = 0.5
"""Seconds that a statement may take on average. The largest batches take a fraction of that."""

LARGE = 10_000
"""Rows. Smaller tables are not examined."""

FEW_SCANS = 10
"""Sequential scans of a large table that need no explanation, such as those of a backup."""

DEAD_SHARE = 0.2
"""Share of dead rows at which autovacuum starts, by its own defaults."""

HOT_SHARE = 0.3
"""Least share of updates that touch no index. Status changes move a message between indexes, so it is never 1."""

LONG_TRANSACTION = 300.0
"""Seconds that a transaction may be open. No transaction of heyday takes more than 30."""

CACHED = 0.95
"""Least share of pages that are found in memory."""


async def check_queries(database: Database) -> list[CheckResult]:
    """Check statements, tables, indexes and sessions. Raises Unavailable."""
    statistics = PostgresStatistics(database)
    tables = await statistics.tables()
    unused = [
        warning(
            f"index {one.name} on {one.table} has {one.bytes >> 20} MiB, and no query uses it: consider dropping it"
        )
        for one in await statistics.unused_indexes()
    ]
    return [
        *_statements(await statistics.statements(STATEMENTS_SHOWN)),
        *(result for table in tables for result in _table(table)),
        *unused,
        *_sessions(await statistics.sessions()),
    ]


def _statements(statements: list[Statement] | None) -> Iterator[CheckResult]:
    if statements is None:
        yield warning(
            "pg_stat_statements is not installed, so slow queries cannot be named: add it to "
            "shared_preload_libraries, restart, and run `create extension pg_stat_statements`"
        )
        return
    total = sum(one.seconds for one in statements)
    for one in statements:
        text = (
            f"{one.name}: {one.seconds / total if total else 0:.0%} of the time, {one.calls} calls, "
            f"{one.mean * 1000:.1f} ms on average, {one.longest * 1000:.0f} ms at most"
        )
        yield warning(f"{text}: slow; see its plan with EXPLAIN (ANALYZE)") if one.mean > SLOW else ok(text)


def _table(table: Table) -> Iterator[CheckResult]:
    if table.live < LARGE:
        return
    if table.scans > FEW_SCANS and table.scanned / table.scans >= LARGE:
        yield warning(
            f"{table.name} ({table.live} rows) was scanned {table.scans} times "
            "from end to end: a query lacks an index; "
            "pg_stat_statements names it"
        )
    if table.dead > table.live * DEAD_SHARE:
        yield warning(
            f"{table.name} has {table.dead} dead rows beside {table.live}, {_ago(table.vacuumed_ago, 'cleaned up')}: "
            "lower autovacuum_vacuum_scale_factor, or look for an open transaction"
        )
    if table.since_analyze > table.live * DEAD_SHARE:
        yield warning(
            f"{table.name} has changed by {table.since_analyze} rows, {_ago(table.analyzed_ago, 'analyzed')}: the "
            f"planner of PostgreSQL uses old statistics; run `analyze {table.name}`"
        )
    if table.updates > LARGE and table.hot < table.updates * HOT_SHARE:
        yield warning(
            f"{table.name}: {table.hot / table.updates:.0%} of {table.updates} updates touched no index; a lower "
            "fillfactor allows more"
        )


def _sessions(sessions: Sessions) -> Iterator[CheckResult]:
    used = f"{sessions.connections} of {sessions.max_connections} connections are in use"
    yield (warning if sessions.connections > sessions.max_connections * 0.8 else ok)(used)
    if sessions.waiting:
        waiting = counted(sessions.waiting, "session waits", "sessions wait")
        yield warning(f"{waiting} for a lock: see pg_stat_activity, wait_event_type Lock")
    if sessions.oldest_transaction > LONG_TRANSACTION:
        yield warning(
            f"a transaction has been open for {sessions.oldest_transaction / 60:.0f} minutes, "
            f"by {sessions.oldest_holder}: rows that it can see are not cleaned up; "
            "end it, for example with pg_terminate_backend"
        )
    if sessions.cached is not None and sessions.cached < CACHED:
        yield warning(f"{sessions.cached:.0%} of pages were found in memory: more shared_buffers would help")
    if sessions.deadlocks:
        yield warning(f"{sessions.deadlocks} deadlocks since the statistics were reset: see the log of the server")
    if sessions.autovacuum == "off":
        yield error("autovacuum is off: dead rows are never removed")


def _ago(seconds: float | None, done: str) -> str:
    return f"never {done}" if seconds is None else f"{done} {seconds / 3600:.1f} h ago"
