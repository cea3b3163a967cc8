"""Measures the cost of a greeting as the tables grow: waves on one database with ten times as many messages each time.

    python -m loadtest.growth --sizes 10000 100000 1000000 10000000 --json growth.json --plots plots --explain plans.md

Before each wave the table `messages` is filled up to the next size with sent messages of this year and their
attempts. Then a wave leaves through one node. Flat curves of processor time mean that the size does not matter. With
--explain, every hot query is run at the last size with EXPLAIN (ANALYZE, BUFFERS) and rolled back. A greeting that is
lost, twice or early gives exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

from actors.commands.sandbox.servers.rabbitmq import installed_sbin
from loadtest import crowd
from loadtest.bare import Figures
from loadtest.bench import bench
from loadtest.cases import Case
from loadtest.node_wave import measured, nodes
from loadtest.plans import plans
from loadtest.report import curves

SIZES = (10_000, 100_000, 1_000_000)

_UPDATES = """
    select coalesce(sum(n_tup_upd), 0)::float8 as updates, coalesce(sum(n_tup_hot_upd), 0)::float8 as hot,
        coalesce(sum(n_dead_tup), 0)::float8 as dead
    from pg_stat_user_tables where relname like 'messages%'
"""

_SIZES = """
    select sum(pg_table_size(oid))::float8 / 1e6 as rows, sum(pg_indexes_size(oid))::float8 / 1e6 as indexes
    from pg_class where relname like 'messages\\_2%' and relkind = 'r'
"""


async def measure(args: argparse.Namespace) -> tuple[list[Figures], str]:
    """Return the figures of each size, and the plans at the last."""
    found: list[Figures] = []
    case = Case(args.greetings, stream=args.stream)
    async with bench(rabbitmq=not args.stream) as running, running.database() as dsn:
        connection = await asyncpg.connect(dsn)
        for parameter in args.storage:
            await _store(connection, parameter)
        # The greeted users have no dates: a node would move messages without time zone data to those.
        greeted = args.greetings * (len(args.sizes) + 2)
        await crowd.users(connection, greeted)
        others, today = max(0, args.users - greeted), datetime.now(UTC).date()
        await crowd.born(connection, others, since=greeted + 1, together=0, timezone="UTC", day=today)
        there = 0
        for number, size in enumerate(args.sizes):
            await crowd.history(connection, size - there)
            await connection.execute("vacuum")
            # The first wave through a node fills its caches, so it is not compared.
            async with nodes(running, dsn, case) as pids:
                if not number:
                    warm = replace(case, greetings=max(1, case.greetings // 10))
                    await measured(running, connection, pids, warm)
                (before,) = await connection.fetch(_UPDATES)
                figures = await measured(running, connection, pids, case, since=(number + 1) * args.greetings + 1)
            # Sessions report their counts when they end.
            (after,), (stored,) = await connection.fetch(_UPDATES), await connection.fetch(_SIZES)
            updates = after["updates"] - before["updates"]
            figures |= {
                "messages": size,
                "hotShare": (after["hot"] - before["hot"]) / max(1.0, updates),
                "updatesAGreeting": updates / args.greetings,
                "deadRows": after["dead"],
                "rowsMegabytes": stored["rows"],
                "indexesMegabytes": stored["indexes"],
            }
            found.append(figures)
            sys.stderr.write(f"{size} messages: {json.dumps(figures)}\n")
            there = await connection.fetchval("select count(*) from messages")
        explained = await plans(connection, batch=args.batch) if args.explain else ""
        await connection.close()
    return found, explained


async def _store(connection: asyncpg.Connection[asyncpg.Record], parameter: str) -> None:
    """Give every partition of messages a storage parameter, such as fillfactor=70."""
    partitions = await connection.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'messages'::regclass"
    )
    for partition in partitions:
        await connection.execute(f"alter table {partition['name']} set ({parameter})")


def report(found: list[Figures]) -> str:
    """Return a Markdown table."""
    head = (
        "| messages in the table | greetings/s | CPU µs a greeting: node, PostgreSQL | lateness p50, p99, s "
        "| HOT updates | updates a greeting | rows, indexes, MB | lost, twice, early |"
    )
    lines = [head, "|" + " --- |" * (head.count("|") - 1)]
    lines += [
        f"| {one['messages']:.0f} | {one['perSecond']:.0f} "
        f"| {one['nodeMicroseconds']:.0f}, {one['postgresMicroseconds']:.0f} "
        f"| {one['p50LatenessSeconds']:.2f}, {one['p99LatenessSeconds']:.2f} "
        f"| {one['hotShare']:.0%} | {one['updatesAGreeting']:.2f} "
        f"| {one['rowsMegabytes']:.0f}, {one['indexesMegabytes']:.0f} "
        f"| {one['lost']:.0f}, {one['twice']:.0f}, {one['early']:.0f} |"
        for one in found
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of messages in the table, growing")
    parser.add_argument("--greetings", type=int, default=10_000, help="greetings of each wave; at most the first size")
    parser.add_argument("--users", type=int, default=0, help="minimum of users in the table")
    parser.add_argument(
        "--storage", action="append", default=[], help="a storage parameter of messages, such as fillfactor=70"
    )
    parser.add_argument("--stream", action="store_true", help="the delivery queue is a Redis stream")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plots", type=Path, help="draw plots into this directory")
    parser.add_argument("--explain", type=Path, help="write the plans of the hot queries to this file")
    parser.add_argument("--batch", type=int, default=50, help="ids per query (%(default)s)")
    args = parser.parse_args()
    args.stream = args.stream or installed_sbin() is None
    found, explained = uvloop.run(measure(args))
    sys.stdout.write(report(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if args.explain:
        args.explain.write_text(explained, encoding="utf-8")
    if args.plots:
        names = {"node": "nodeMicroseconds", "PostgreSQL": "postgresMicroseconds"}
        series = {label: [(one["messages"], one[figure]) for one in found] for label, figure in names.items()}
        curves(args.plots / "growth.png", "messages in the table", "µs of processor a greeting", series, log=True)
    if any(one[figure] for one in found for figure in ("lost", "twice", "early")):
        sys.exit(1)


if __name__ == "__main__":
    main()
