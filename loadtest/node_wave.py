"""Measures a wave through the whole path: from the due instant to the last recorded greeting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg

from loadtest import crowd
from loadtest.bare import Figures
from loadtest.bench import Bench
from loadtest.cases import Case
from loadtest.programs import cpu, node
from loadtest.watch import memory_of, watching

READY_IN = 4.0
"""Seconds until the messages are due, in addition to the time for making them."""

WARM_UP = 500
"""Greetings of a first wave that is not measured, as a warm-up of the nodes; the bare loop is warm after its first
round."""

GIVE_UP_AFTER = 900.0
"""Seconds for a wave, and for the start of nodes."""

POLL_INTERVAL = 0.2
"""Seconds between two requests to the email service; few enough to cost nothing."""

CLOCK_GRAIN = 0.001
"""Resolution of the email service's log in seconds."""


UNFINISHED = """
    select exists (
        select from messages where status in ('scheduled', 'retrying') or status = 'queued' or status = 'sending'
    )
"""
"""A condition for messages that have not ended; it uses the partial indexes of those messages."""


class Unfinished(Exception):
    """A wave, or the start of a node, took too long."""


async def wave(bench: Bench, case: Case) -> Figures:
    """Run one wave on its own database, through its own nodes."""
    async with bench.database() as dsn:
        connection = await asyncpg.connect(dsn)
        await crowd.users(connection, WARM_UP + case.greetings)
        async with nodes(bench, dsn, case) as pids:
            await measured(bench, connection, pids, replace(case, greetings=WARM_UP))
            figures = await measured(bench, connection, pids, case, since=WARM_UP + 1)
        await connection.close()
    return figures


@asynccontextmanager
async def nodes(bench: Bench, dsn: str, case: Case) -> AsyncIterator[list[int]]:
    """Start the nodes of a case, and wait until the database knows all. Raises Unfinished."""
    each = -(-case.in_flight // case.nodes)
    settings = {
        "EMAIL_URL": bench.stub_url,
        "EMAIL_CONCURRENCY": str(each),
        "BIND": "127.0.0.1:0",
        **({} if case.actors is None else {"DELIVERY_ACTORS": str(case.actors)}),
        **({} if case.rate is None else {"EMAIL_RATE": f"{case.rate:g}"}),
        **({"EMAIL_BACKOFF": "100ms"} if case.error_rate else {}),
    }
    # With the default log lines, one per greeting.
    log = bench.servers.place / "nodes.log"
    program = "actors.cli" if case.metrics else "loadtest.without_metrics"
    connection = await asyncpg.connect(dsn)
    before = await connection.fetchval("select count(*) from nodes where ended_at is null")
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                node(bench.servers, dsn, settings, rabbitmq=not case.stream, log=log, module=program)
            )
            for _ in range(case.nodes)
        ]
        until = time.monotonic() + GIVE_UP_AFTER
        while await connection.fetchval("select count(*) from nodes where ended_at is null") < before + case.nodes:
            if time.monotonic() > until or any(process.returncode is not None for process in running):
                raise Unfinished("the nodes did not start")
            await asyncio.sleep(0.05)
        await connection.close()
        yield [process.pid for process in running]


async def measured(
    bench: Bench, connection: asyncpg.Connection[asyncpg.Record], pids: list[int], case: Case, *, since: int = 1
) -> Figures:
    """Greet the users numbered from `since` through the running nodes. Raises Unfinished."""
    await bench.behave(latency=case.latency, error_rate=case.error_rate)
    instant = datetime.now(UTC) + timedelta(seconds=READY_IN + case.greetings / crowd.DUE_A_SECOND)
    await crowd.due(connection, case.greetings, instant, since=since)
    if datetime.now(UTC) >= instant:
        raise Unfinished("the messages were due before they were all there: the machine has too much else to do")
    await asyncio.sleep(max(0.0, (instant - datetime.now(UTC)).total_seconds() - 0.5))
    used, servers = cpu(*pids), bench.server_cpu()
    async with watching({"memory": memory_of(pids)}) as seen:
        await _accepted(bench, case.greetings)
        while await connection.fetchval(UNFINISHED):
            await asyncio.sleep(0.05)
    used = cpu(*pids) - used
    shares = {name: seconds - servers[name] for name, seconds in bench.server_cpu().items()}
    stats = await bench.stats()
    recorded = await connection.fetchval("select max(ended_at) from messages where send_at = $1", instant)
    # The service logs a greeting when it accepts it, `latency` after the call.
    late = [at - case.latency - instant.timestamp() for at in await bench.accepted_at()]
    return {
        "perSecond": case.greetings / (recorded - instant).total_seconds(),
        "firstCallSeconds": late[0],
        "lastCallSeconds": late[-1],
        "p50LatenessSeconds": late[len(late) // 2],
        "p99LatenessSeconds": late[len(late) * 99 // 100],
        "nodeMicroseconds": used / case.greetings * 1e6,
        **{f"{name}Microseconds": seconds / case.greetings * 1e6 for name, seconds in shares.items()},
        "memoryMegabytes": seen.most("memory"),
        "evenRate": (len(late) - 1) / max(late[-1] - late[0], 1e-3),
        "mostInASecond": float(most_in_a_second(late)),
        "lost": case.greetings - stats["keys"],
        "twice": stats["duplicates"],
        "early": float(sum(after < -CLOCK_GRAIN for after in late)),
    }


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of instants within one second; the instants are in order."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _accepted(bench: Bench, count: int) -> None:
    until = time.monotonic() + GIVE_UP_AFTER
    while (await bench.stats())["keys"] < count:
        if time.monotonic() > until:
            raise Unfinished(f"not all were accepted within {GIVE_UP_AFTER:g} s: {await bench.stats()}")
        await asyncio.sleep(POLL_INTERVAL)
