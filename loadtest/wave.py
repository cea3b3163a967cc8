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
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import uvloop

from service.adapters.postgres.migrations import migrate
from service.embedded.postgres import PostgresServer, create_database
from service.embedded.rabbitmq import RabbitMQServer, installed_sbin
from service.embedded.redis import RedisServer

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

    def __init__(self, place: Path, *, stream: bool, latency: float) -> None:
        self.postgres = PostgresServer(place / "postgres")
        self.redis = RedisServer(place / "redis")
        self.rabbitmq = None if stream or installed_sbin() is None else RabbitMQServer(place / "rabbitmq")
        self._latency = latency
        self.stub_url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything started, and stopped at the end."""
        servers = [server for server in (self.postgres, self.redis, self.rabbitmq) if server is not None]
        stub = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.email_stub", "--port", "0", "--latency", str(self._latency),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await asyncio.gather(*(server.start() for server in servers))
            assert stub.stdout is not None
            self.stub_url = (await stub.stdout.readline()).decode().split()[-1]
            yield
        finally:
            stub.terminate()
            await stub.wait()
            for server in servers:
                await server.stop()

    async def database(self) -> str:
        """The URL of a fresh, migrated database."""
        name = f"wave_{uuid.uuid4().hex}"
        await create_database(self.postgres.dsn("postgres"), name)
        await migrate(self.postgres.dsn(name))
        return self.postgres.dsn(name)

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
    dsn = await bench.database()
    connection = await asyncpg.connect(dsn)
    await connection.execute(_PEOPLE, greetings, datetime.now(UTC))
    await bench.forget()
    cpu, began = time.process_time(), time.time()
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
    return {"perSecond": greetings / took, "cpuMicroseconds": (time.process_time() - cpu) / greetings * 1e6}


async def heyday(bench: Bench, greetings: int, *, nodes: int) -> dict[str, float]:
    """The same through the whole path, from the instant to the last call."""
    dsn = await bench.database()
    connection = await asyncpg.connect(dsn)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEYDAY_")} | {
        "HEYDAY_DATABASE_URL": dsn,
        "HEYDAY_REDIS_URL": bench.redis.url,
        "HEYDAY_EMAIL_URL": bench.stub_url,
        "HEYDAY_EMAIL_CONCURRENCY": str(IN_FLIGHT if nodes == 1 else max(8, IN_FLIGHT // nodes)),
        "HEYDAY_BIND": "127.0.0.1:0",
        "HEYDAY_LOG_LEVEL": "warning",
    }
    if bench.rabbitmq is not None:
        environment["HEYDAY_RABBITMQ_URL"] = bench.rabbitmq.url
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "actors.cli", "run", env=environment)
        for _ in range(nodes)
    ]
    try:
        while await connection.fetchval("select count(*) from nodes") < nodes:
            await asyncio.sleep(0.05)
        due = datetime.now(UTC) + READY_IN
        await connection.execute(_PEOPLE, greetings, due)
        await connection.execute("analyze")
        await bench.forget()
        cpu = _cpu(running)
        stats: dict[str, float] = {"accepted": 0}
        until = time.monotonic() + GIVE_UP_AFTER
        while stats["accepted"] < greetings and time.monotonic() < until:
            await asyncio.sleep(0.2)
            stats = await bench.stats()
        used = _cpu(running) - cpu
        while await connection.fetchval("select exists (select from messages where status <> 'sent')"):
            await asyncio.sleep(0.1)
        (lateness,) = await connection.fetch(
            "select percentile_cont(0.5) within group (order by late) as p50,"
            " percentile_cont(0.99) within group (order by late) as p99"
            " from (select extract(epoch from started_at - $1)::double precision as late from attempts) as attempts",
            due,
        )
    finally:
        for node in running:
            node.terminate()
        for node in running:
            await node.wait()
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


def _cpu(processes: list[asyncio.subprocess.Process]) -> float:
    return sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes)


Round = dict[str, dict[str, float]]


async def measure(args: argparse.Namespace) -> tuple[str, list[Round]]:
    """The delivery queue used, and the figures of every round: one and the other in turn."""
    with tempfile.TemporaryDirectory(prefix="heyday-bench-", dir="/var/tmp") as place:
        os.chmod(place, 0o755)  # noqa: S103 - the servers' account must reach it
        bench = Bench(Path(place), stream=args.stream, latency=args.latency)
        rounds = []
        async with bench.running():
            for _ in range(args.rounds):
                one = {"bare": await bare(bench, args.greetings)}
                one["heyday"] = await heyday(bench, args.greetings, nodes=args.nodes)
                rounds.append(one)
                sys.stderr.write(f"round {len(rounds)}: {json.dumps(one)}\n")
    return "Redis stream" if bench.rabbitmq is None else "RabbitMQ", rounds


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
