"""Planning of a great day: many users, of whom many have the same birthday in one zone, planned by one or more nodes.

    python -m loadtest.planning --users 1000000 --together 100000 --nodes 1
    python -m loadtest.planning --users 10000000 --together 1000000 --nodes 2

The users are there before; then one node is told to do the daily job. The rate is the messages made, divided by the
time from the job's begin until no range is left. Meanwhile requests are made of one node's API, so many a second, as
before the job: what planning does to their p99 is seen. A user planned twice or not at all ends the tool with
exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import uvloop

from loadtest import crowd
from loadtest.api import serving
from loadtest.bench import Bench, bench
from loadtest.probe import Answers, probing
from loadtest.programs import cpu
from loadtest.watch import memory_of, watching

ZONE = "Asia/Tokyo"

QUIET = 5.0
"""Seconds for which the API is asked before the job."""

DONE_EVERY = 0.02
"""Seconds between two looks whether a range is left."""

GIVE_UP_AFTER = 1_800.0
"""Seconds for the planning."""

Figures = dict[str, float]


async def measure(args: argparse.Namespace) -> Figures:
    """Make the users, start the nodes, and plan."""
    async with bench(rabbitmq=False) as running, running.database() as dsn, AsyncExitStack() as stack:
        connection = await asyncpg.connect(dsn)
        # Nodes that start have nothing to plan: the job is given to them later.
        await connection.execute("update planning set up_to = now() + interval '30 days'")
        day = (datetime.now(UTC) + timedelta(days=1)).date()
        await crowd.born(connection, args.users, together=args.together, timezone=ZONE, day=day.replace(year=1990))
        await connection.execute("vacuum analyze")
        targets = [await stack.enter_async_context(serving(running.servers, dsn, "off")) for _ in range(args.nodes)]
        known = [str(row["id"]) for row in await connection.fetch("select id from users limit 1000")]
        before = Answers()
        async with probing(targets[0].url, known, before, per_second=args.probe):
            await asyncio.sleep(args.quiet)
        during = Answers()
        pids = [target.pid for target in targets]
        async with (
            watching({"memory": memory_of(pids)}) as seen,
            probing(targets[0].url, known, during, per_second=args.probe),
        ):
            took, used = await _plan(running, connection, targets[0].url, pids)
        (counted,) = await connection.fetch(
            "select count(distinct user_id) as users, count(*) as messages from messages"
            " where timezone = $1 and user_id in (select user_id from occasion_dates where month_day = $2)",
            ZONE, day.month * 100 + day.day,
        )  # fmt: skip
        everything = await connection.fetchval("select count(*) from messages")
        await connection.close()
    return {
        "users": args.users,
        "nodes": args.nodes,
        "messages": everything,
        "seconds": took,
        "perSecond": everything / took,
        "nodeMicroseconds": used["node"] / everything * 1e6,
        "postgresMicroseconds": used["postgres"] / everything * 1e6,
        "memoryMegabytes": seen.most("memory"),
        "apiP99Before": before.p99,
        "apiP99During": during.p99,
        "apiRequests": len(during.seconds),
        "apiErrors": before.errors + during.errors,
        "missing": args.together - counted["users"],
        "twice": counted["messages"] - counted["users"],
    }


async def _plan(
    running: Bench, connection: asyncpg.Connection[asyncpg.Record], url: str, pids: list[int]
) -> tuple[float, dict[str, float]]:
    """Seconds that the daily job took, and the processor time used by the nodes and by PostgreSQL."""
    used = cpu(*pids), running.server_cpu()["postgres"]
    await connection.execute("update planning set up_to = now()")
    began = time.perf_counter()
    async with aiohttp.ClientSession(url) as http, http.post("/api/v1/jobs/daily:run") as response:
        if response.status != 202:
            raise RuntimeError(f"the daily job was answered with {response.status}: {await response.text()}")
    while await connection.fetchval("select exists (select from plan_ranges)"):
        if time.perf_counter() - began > GIVE_UP_AFTER:
            raise RuntimeError(f"ranges are left after {GIVE_UP_AFTER:g} s")
        await asyncio.sleep(DONE_EVERY)
    took = time.perf_counter() - began
    return took, {"node": cpu(*pids) - used[0], "postgres": running.server_cpu()["postgres"] - used[1]}


def report(figures: Figures) -> str:
    """A Markdown table."""
    used = f"{figures['nodeMicroseconds']:.1f}, {figures['postgresMicroseconds']:.1f}"
    rows = {
        "messages planned": f"{figures['messages']:.0f}",
        "users, nodes": f"{figures['users']:.0f}, {figures['nodes']:.0f}",
        "messages/s": f"{figures['perSecond']:.0f}",
        "CPU µs a message: nodes, PostgreSQL": used,
        "memory of a node, MB": f"{figures['memoryMegabytes']:.0f}",
        "API p99 before, meanwhile, ms": f"{figures['apiP99Before'] * 1000:.0f}, {figures['apiP99During'] * 1000:.0f}",
        "API requests meanwhile, errors": f"{figures['apiRequests']:.0f}, {figures['apiErrors']:.0f}",
        "missing, twice": f"{figures['missing']:.0f}, {figures['twice']:.0f}",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), ""])


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--together", type=int, default=100_000, help="users with the same birthday in one zone")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--probe", type=float, default=50.0, help="requests a second of the API")
    parser.add_argument("--quiet", type=float, default=QUIET, help="seconds for which it is asked before the job")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    figures = uvloop.run(measure(args))
    sys.stdout.write(report(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if figures["missing"] or figures["twice"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
