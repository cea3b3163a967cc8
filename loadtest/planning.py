"""Measures planning of a large day: many users with the same birthday in one zone, planned by one or more nodes.

    python -m loadtest.planning --users 1000000 --together 100000 --nodes 1
    python -m loadtest.planning --users 10000000 --together 1000000 --nodes 2

    python -m loadtest.planning --users 1000000 --together 200000 --nodes 1 --replan
    python -m loadtest.planning --users 1000000 --together 1000000 --nodes 1 --replan weekend

The users exist before. Then one node runs the daily job. The rate is the number of new messages, divided by the
time from the job's start until no range is left. Before and during the job one node's API gets requests at a fixed
rate, to show the effect on their p99. With --replan the occasion then gets another rule, by the API, and all
messages are planned again: the time counts from the request to the last range. With `weekend` the rule is that their
day, which is then a Saturday, becomes the Monday after it. A user who is planned twice or not at
all, or not again with --replan, gives exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
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
"""Seconds of API requests before the job."""

SATURDAY = 5

DONE_EVERY = 0.02
"""Seconds between two checks for remaining ranges."""

GIVE_UP_AFTER = 1_800.0
"""Seconds for the planning."""

REPLANNED = """
    select replanned_version = rules_version and not exists (select from plan_ranges) from planning
"""
"""True when the messages follow the present rules."""

Figures = dict[str, float]


async def measure(args: argparse.Namespace) -> Figures:
    """Make the users, start the nodes, and plan."""
    async with bench(rabbitmq=False) as running, running.database() as dsn, AsyncExitStack() as stack:
        connection = await asyncpg.connect(dsn)
        # Nodes that start find nothing to plan; the job runs later.
        await connection.execute("update planning set planned_until = now() + interval '30 days'")
        day = (datetime.now(UTC) + timedelta(days=1)).date()
        await crowd.born(connection, args.users, together=args.together, timezone=ZONE, day=day.replace(year=1990))
        await connection.execute("vacuum")
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
        replanned = await _replan(args, connection, targets[0].url, known, day) if args.replan else {}
        (counted,) = await connection.fetch(
            "select count(distinct user_id) as users, count(*) as messages from messages"
            " where timezone = $1 and user_id in (select user_id from occasion_dates where month_day = $2)",
            ZONE, day.month * 100 + day.day,
        )  # fmt: skip
        everything = await connection.fetchval("select count(*) from messages")
        await connection.close()
    return {
        "users": args.users,
        "together": args.together,
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
        "apiErrors": during.errors,
        "missing": args.together - counted["users"],
        "twice": counted["messages"] - counted["users"],
        **replanned,
    }


async def _replan(
    args: argparse.Namespace, connection: asyncpg.Connection[asyncpg.Record], url: str, known: list[str], day: date
) -> Figures:
    """Change the rule of the occasion, and wait until every message of `day` has its new instant."""
    to_saturday = (SATURDAY - day.weekday()) % 7
    rule = {"weekend": "after", "offsetDays": to_saturday} if args.replan == "weekend" else {"offsetDays": 2}
    during = Answers()
    async with probing(url, known, during, per_second=args.probe):
        began = time.perf_counter()
        async with (
            aiohttp.ClientSession(url) as http,
            http.patch("/api/v1/occasions/birthday", json=rule) as response,
        ):
            if response.status != 200:
                raise RuntimeError(f"the change was answered with {response.status}: {await response.text()}")
        answered = time.perf_counter() - began
        while not await connection.fetchval(REPLANNED):
            if time.perf_counter() - began > GIVE_UP_AFTER:
                raise RuntimeError(f"messages are not planned again after {GIVE_UP_AFTER:g} s")
            await asyncio.sleep(DONE_EVERY)
        took = time.perf_counter() - began
    moved = await connection.fetchval(
        "select count(*) from messages where status_reason = 'moved: the rules have changed'"
    )
    return {
        "replanned": moved,
        "replanSeconds": took,
        "replanAnswerSeconds": answered,
        "replanPerSecond": moved / took,
        "apiP99Replan": during.p99,
        "apiErrorsReplan": during.errors,
    }


async def _plan(
    running: Bench, connection: asyncpg.Connection[asyncpg.Record], url: str, pids: list[int]
) -> tuple[float, dict[str, float]]:
    """Return the seconds of the daily job, and the processor time of the nodes and of PostgreSQL."""
    used = cpu(*pids), running.server_cpu()["postgres"]
    await connection.execute("update planning set planned_until = now()")
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
    """Return a Markdown table."""
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
    if "replanned" in figures:
        rows["planned again, messages/s"] = f"{figures['replanned']:.0f}, {figures['replanPerSecond']:.0f}"
        rows["seconds: the answer, all"] = f"{figures['replanAnswerSeconds']:.2f}, {figures['replanSeconds']:.1f}"
        rows["API p99 meanwhile, ms; errors"] = (
            f"{figures['apiP99Replan'] * 1000:.0f}; {figures['apiErrorsReplan']:.0f}"
        )
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), ""])


def wrong(figures: Figures) -> bool:
    """Return True if a user was planned twice or not at all, or was not planned again although the rule changed."""
    again = figures.get("replanned", figures["together"])
    return bool(figures["missing"] or figures["twice"]) or again < figures["together"]


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--together", type=int, default=100_000, help="users with the same birthday in one zone")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument(
        "--replan", nargs="?", const="offset", choices=("offset", "weekend"), help="then change a rule, and plan again"
    )
    parser.add_argument("--probe", type=float, default=50.0, help="API requests per second (%(default)g)")
    parser.add_argument("--quiet", type=float, default=QUIET, help="seconds of API requests before the job")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    figures = uvloop.run(measure(args))
    sys.stdout.write(report(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if wrong(figures):
        sys.exit(1)


if __name__ == "__main__":
    main()
