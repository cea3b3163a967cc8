"""A wave of greetings due at one instant, beside a bare loop that makes the same calls with nothing durable in between.

    python -m loadtest.wave --greetings 10000 --rounds 5

Both are measured in turn, on the same servers: PostgreSQL from the wheel with its data made durable, Redis from the
wheel, and RabbitMQ as installed (without it, or with --stream, the delivery queue is a Redis stream). The rate is what
the email service saw: greetings accepted divided by the time from the instant they were due to the last call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import uvloop

from loadtest import servers
from loadtest.programs import cpu, last_word, node, program
from loadtest.servers import Servers

IN_FLIGHT = 64
"""Calls of the bare loop on the wire at once: about where aiohttp is fastest."""

READY_IN = timedelta(seconds=4)
"""From when a node is ready until its wave is due."""

GIVE_UP_AFTER = 300.0
"""Seconds for a wave."""

_PEOPLE = """
    with made as (
        insert into users (first_name, last_name, email, email_key, timezone, created_at)
        select 'Ada', 'No ' || n, n || '@a.test', n || '@a.test', 'UTC', now() - interval '30 days'
        from generate_series(1, $1) n
        returning id
    )
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select id, 'birthday', extract(year from $2::timestamptz), 'UTC', $2, $2, 'none' from made
"""


class Bench:
    """The servers, and the email service in a process of its own."""

    def __init__(self, servers: Servers, stub_url: str) -> None:
        self.servers = servers
        self.stub_url = stub_url

    async def forget(self) -> None:
        """Let the email service begin anew."""
        async with aiohttp.ClientSession() as http, http.delete(f"{self.stub_url}/stats"):
            pass

    async def stats(self) -> dict[str, float]:
        """What the email service has seen."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.stub_url}/stats") as response:
            found: dict[str, float] = await response.json()
            return found


async def bare(bench: Bench, greetings: int) -> dict[str, float]:
    """Fetch, call, one bulk UPDATE: the most that one process can do."""
    dsn = await bench.servers.database()
    connection = await asyncpg.connect(dsn)
    await connection.execute(_PEOPLE, greetings, datetime.now(UTC))
    await bench.forget()
    used, began = time.process_time(), time.time()
    rows = await connection.fetch("select m.id, u.email, u.last_name from messages m join users u on u.id = m.user_id")
    places = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as http:

        async def call(row: asyncpg.Record) -> None:
            body = json.dumps({"email": row["email"], "message": f"Hey, Ada {row['last_name']} it's your birthday"})
            headers = {"Content-Type": "application/json", "Idempotency-Key": str(row["id"])}
            async with places, http.post(f"{bench.stub_url}/send-email", data=body, headers=headers) as response:
                await response.read()

        await asyncio.gather(*map(call, rows))
    await connection.execute(
        "update messages set status = 'sent', attempt = 1, ended_at = now() where id = any($1::uuid[])",
        [row["id"] for row in rows],
    )
    took = time.time() - began
    await connection.close()
    return {"perSecond": greetings / took, "cpuMicroseconds": (time.process_time() - used) / greetings * 1e6}


async def heyday(bench: Bench, greetings: int, *, nodes: int) -> dict[str, float]:
    """The same through the whole path, from the instant to the last call."""
    dsn = await bench.servers.database()
    connection = await asyncpg.connect(dsn)
    settings = {
        "EMAIL_URL": bench.stub_url,
        "EMAIL_CONCURRENCY": str(IN_FLIGHT if nodes == 1 else max(8, IN_FLIGHT // nodes)),
        "BIND": "127.0.0.1:0",
        "LOG_LEVEL": "warning",
    }
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(node(bench.servers, dsn, settings)) for _ in range(nodes)]
        while await connection.fetchval("select count(*) from nodes") < nodes:
            await asyncio.sleep(0.05)
        due = datetime.now(UTC) + READY_IN
        await connection.execute(_PEOPLE, greetings, due)
        await connection.execute("analyze")
        await bench.forget()
        pids = [process.pid for process in running]
        used = cpu(*pids)
        stats: dict[str, float] = {"accepted": 0}
        until = time.monotonic() + GIVE_UP_AFTER
        while stats["accepted"] < greetings and time.monotonic() < until:
            await asyncio.sleep(0.2)
            stats = await bench.stats()
        used = cpu(*pids) - used
        while await connection.fetchval("select exists (select from messages where status <> 'sent')"):
            await asyncio.sleep(0.1)
        (lateness,) = await connection.fetch(
            "select percentile_cont(0.5) within group (order by late) as p50,"
            " percentile_cont(0.99) within group (order by late) as p99"
            " from (select extract(epoch from started_at - $1)::double precision as late from attempts) as attempts",
            due,
        )
    await connection.close()
    instant = due.timestamp()
    last = stats["lastAcceptedAt"] / 1000 - instant
    return {
        "perSecond": greetings / last,
        "firstCallSeconds": stats["firstAcceptedAt"] / 1000 - instant,
        "p50LatenessSeconds": lateness["p50"],
        "p99LatenessSeconds": lateness["p99"],
        "cpuMicroseconds": used / greetings * 1e6,
        "duplicates": stats["duplicates"],
    }


Round = dict[str, dict[str, float]]


async def measure(args: argparse.Namespace) -> tuple[str, list[Round]]:
    """The delivery queue used, and the figures of every round: one and the other in turn."""
    rounds: list[Round] = []
    async with (
        servers.running(rabbitmq=not args.stream) as all_of_them,
        program("service.email_stub", "--port", "0", "--latency", str(args.latency)) as stub,
    ):
        bench = Bench(all_of_them, await last_word(stub))
        for _ in range(args.rounds):
            one = {"bare": await bare(bench, args.greetings)}
            one["heyday"] = await heyday(bench, args.greetings, nodes=args.nodes)
            rounds.append(one)
            sys.stderr.write(f"round {len(rounds)}: {json.dumps(one)}\n")
    return "Redis stream" if all_of_them.rabbitmq is None else "RabbitMQ", rounds


def report(args: argparse.Namespace, queue: str, rounds: list[Round]) -> str:
    """A Markdown table of the medians."""

    def median(who: str, figure: str) -> float:
        return statistics.median(one[who][figure] for one in rounds)

    title = f"{args.greetings} greetings, {args.nodes} node(s), {queue}, {args.latency:g} s a call"
    cpu = [f"{median(who, 'cpuMicroseconds'):.0f}" for who in ("bare", "heyday")]
    ratio = statistics.median(one["heyday"]["perSecond"] / one["bare"]["perSecond"] for one in rounds)
    first, p50, p99 = (median("heyday", f"{name}Seconds") for name in ("firstCall", "p50Lateness", "p99Lateness"))
    return "\n".join(
        (
            f"{title}; medians of {len(rounds)}",
            "",
            "| | bare loop | heyday |",
            "| --- | --- | --- |",
            f"| greetings/s | {median('bare', 'perSecond'):.0f} | {median('heyday', 'perSecond'):.0f} |",
            f"| of the bare loop | 1 | {ratio:.2f} |",
            f"| CPU µs a greeting | {cpu[0]} | {cpu[1]} |",
            f"| first call after, ms | | {first * 1000:.0f} |",
            f"| lateness p50, p99, s | | {p50:.2f}, {p99:.2f} |",
            f"| accepted twice | | {median('heyday', 'duplicates'):.0f} |",
            "",
        )
    )


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--greetings", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the email service takes for a call")
    parser.add_argument("--stream", action="store_true", help="the delivery queue is a Redis stream")
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    args = parser.parse_args()
    queue, rounds = uvloop.run(measure(args))
    sys.stdout.write(report(args, queue, rounds))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
