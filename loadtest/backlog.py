"""Measures how one node drains a large backlog that is due at once: rate, memory, losses.

    python -m loadtest.backlog --messages 1000000
    python -m loadtest.backlog --messages 30000 --rate 500 --others 0.1 --later 0.1

The messages exist before the node starts and have been due for a minute. Rates come from the email service's log, for
each tenth of the messages. The memory of the node, the length of the stream and the depth of the queue are read all
the time. With --pin-horizon another session holds a snapshot from before the first greeting to after the last, as a
backup or a forgotten transaction does: no row version that the node leaves behind is cleaned up. With --others a share
of them is for another occasion. With --later a share becomes due while the rest drains. The order is "oldest first",
so later messages wait only for earlier ones. The report has their lateness, and by how much a message was overtaken by
one due later. A greeting that is lost, twice or early, more memory than --most-memory, or with --pin-horizon a last
tenth below 0.8 of the first, gives exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import uvloop
from redis.asyncio import Redis

from loadtest import crowd
from loadtest.bench import Bench, bench
from loadtest.cases import Case
from loadtest.node_wave import POLL_INTERVAL, UNFINISHED, Unfinished, nodes
from loadtest.programs import cpu, peak_memory
from loadtest.report import SERVERS, curves
from loadtest.watch import Gauge, Seen, memory_of, watching
from service.adapters.rabbitmq.queue import RabbitMQDeliveryQueue

PARTS = 10
"""Parts of the backlog whose rates are compared."""

STREAM = "heyday:due"
STREAM_QUEUE = "heyday:delivery"

LATER = 5
"""Number of instants at which later messages become due, evenly over the expected duration of the backlog."""

EXPECTED_RATE = 2_000.0
"""Greetings per second, for an estimate of that duration if no rate is set."""

STUCK_FOR = 120.0
"""Seconds without an acceptance after which a node counts as stuck."""

LEAST_LAST_OF_FIRST = 0.8
"""Rate of the last tenth as a share of that of the first, at least, while a snapshot is held."""

_GROUPS = """
    select case when m.send_at > $1 then 'later' else m.occasion end as name, count(*) as messages,
        percentile_cont(array[0.5, 0.99, 1]) within group (order by extract(epoch from a.began - m.send_at)) as late
    from messages m join (
        select message_id, min(started_at) as began from attempts group by message_id
    ) a on a.message_id = m.id
    group by 1 order by 1
"""

SHARE_OF_TIME = 1 / 20
"""Share of the time that counts of the messages on their way take at most. While a snapshot is held, a count reads an
entry for every message that was ever queued: five a second took a processor in the end, and made the wave look slower
by 0.4."""

_OVERTAKEN = """
    with begun as (
        select m.send_at, min(a.started_at) as first, max(a.started_at) as last
        from messages m join attempts a on a.message_id = m.id and a.number = 1
        group by m.send_at
    )
    select greatest(0, max(extract(epoch from older.last - younger.first)))::float8
    from begun older join begun younger on younger.send_at > older.send_at
"""

Figures = dict[str, float]


async def measure(args: argparse.Namespace) -> tuple[Figures, Seen]:
    """Make the backlog, start a node, and watch until every user is greeted."""
    case = Case(args.messages, stream=args.stream, rate=args.rate)
    async with bench(rabbitmq=not args.stream, keep=args.messages + 1) as running, running.database() as dsn:
        connection = await asyncpg.connect(dsn)
        await crowd.users(connection, args.messages)
        due = datetime.now(UTC) - timedelta(minutes=1)
        await _make_due(connection, args, due)
        await connection.execute("vacuum")
        await running.behave()
        server = running.server_cpu()
        async with (
            Redis.from_url(running.servers.redis.url) as redis,
            nodes(running, dsn, case) as pids,
            _delivery_queue(running) as delivery_queue,
            asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool,
            watching(_gauges(running, redis, delivery_queue, pool, pids)) as seen,
            _snapshot(dsn if args.pin_horizon else None),
        ):
            await _drained(running, seen, args.messages)
            while await connection.fetchval(UNFINISHED):
                await asyncio.sleep(POLL_INTERVAL)
            used, peak = cpu(*pids), max(map(peak_memory, pids))
        server = {name: seconds - server[name] for name, seconds in running.server_cpu().items()}
        stats = await running.stats()
        early = await connection.fetchval(
            "select count(*) from attempts a join messages m on m.id = a.message_id where a.started_at < m.send_at"
        )
        groups = await connection.fetch(_GROUPS, due)
        overtaken = await connection.fetchval(_OVERTAKEN)
        await connection.close()
    rates = rates_of_parts(seen.curves["accepted"], args.messages, PARTS)
    return {
        "messages": args.messages,
        "perSecond": args.messages / (stats["lastAcceptedAt"] - stats["firstAcceptedAt"]) * 1000,
        **{f"perSecond{number + 1}": rate for number, rate in enumerate(rates)},
        "lastOfFirst": rates[-1] / rates[0],
        "nodeMicroseconds": used / args.messages * 1e6,
        **{f"{name}Microseconds": seconds / args.messages * 1e6 for name, seconds in server.items()},
        "memoryMegabytes": seen.most("memory"),
        "peakMebibytes": peak,
        "onTheirWay": seen.most("on their way"),
        "streamEntries": seen.most("stream"),
        "queueDepth": seen.most("queue"),
        "lost": args.messages - stats["keys"],
        "twice": stats["duplicates"],
        "early": early,
        "overtakenSeconds": overtaken,
        **{
            f"{share}Late_{one['name']}": seconds
            for one in groups
            for share, seconds in zip(("p50", "p99", "most"), one["late"], strict=True)
        },
    }, seen


async def _make_due(connection: asyncpg.Connection[asyncpg.Record], args: argparse.Namespace, due: datetime) -> None:
    """Make messages: most due at `due`, some of another occasion, and some due later."""
    others, each = int(args.messages * args.others), int(args.messages * args.later) // LATER
    at_once = args.messages - others - each * LATER
    await crowd.due(connection, at_once, due)
    await crowd.due(connection, others, due, since=at_once + 1, occasion="anniversary")
    takes = timedelta(seconds=args.messages / (args.rate or EXPECTED_RATE))
    begin = datetime.now(UTC)
    for number in range(LATER):
        since = at_once + others + number * each + 1
        await crowd.due(connection, each, begin + takes * (number + 1) / (LATER + 1), since=since)


@asynccontextmanager
async def _snapshot(dsn: str | None) -> AsyncIterator[None]:
    """Hold a snapshot of that database while the block runs; nothing for None."""
    if dsn is None:
        yield
        return
    holder = await asyncpg.connect(dsn, server_settings={"application_name": "pin-horizon"})
    try:
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("select count(*) from nodes")  # takes the snapshot
            yield
    finally:
        await holder.close()


@asynccontextmanager
async def _delivery_queue(running: Bench) -> AsyncIterator[RabbitMQDeliveryQueue | None]:
    """Return the delivery queue, for its depth; None if it is a Redis stream."""
    if running.servers.rabbitmq is None:
        yield None
        return
    queue = RabbitMQDeliveryQueue(running.servers.rabbitmq.url, prefetch=1)
    try:
        yield queue
    finally:
        await queue.close()


async def _drained(running: Bench, seen: Seen, messages: int) -> None:
    last_change, last = time.monotonic(), 0.0
    while seen.most("accepted", default=0.0) < messages:
        await asyncio.sleep(POLL_INTERVAL)
        if (now := seen.most("accepted", default=0.0)) > last:
            last_change, last = time.monotonic(), now
        if time.monotonic() - last_change > STUCK_FOR:
            raise Unfinished(
                f"{last:.0f} of {messages} accepted, and none for {STUCK_FOR:g} s: {await running.stats()}"
            )


def _gauges(
    running: Bench,
    redis: Redis,
    delivery_queue: RabbitMQDeliveryQueue | None,
    pool: asyncpg.Pool[asyncpg.Record],
    pids: list[int],
) -> dict[str, Gauge]:
    async def accepted() -> float:
        return (await running.stats())["keys"]

    async def stream() -> float:
        return float(await redis.xlen(STREAM))

    async def queue() -> float:
        if delivery_queue is None:
            return float(await redis.xlen(STREAM_QUEUE))
        return float((await delivery_queue.depth()).ready)

    count_at = on_the_way = 0.0

    async def on_their_way() -> float:
        nonlocal count_at, on_the_way
        if (began := time.monotonic()) >= count_at:
            on_the_way = float(await pool.fetchval("select count(*) from messages where status = 'queued'"))
            count_at = began + (time.monotonic() - began) / SHARE_OF_TIME
        return on_the_way

    return {
        "accepted": accepted,
        "stream": stream,
        "memory": memory_of(pids),
        "queue": queue,
        "on their way": on_their_way,
    }


def rates_of_parts(accepted: list[tuple[float, float]], total: int, parts: int) -> list[float]:
    """Return messages per second in each of equal parts of a growing curve, linear between readings."""
    marks = [when(accepted, total * part / parts) for part in range(1, parts + 1)]
    begins = [when(accepted, 0.5), *marks[:-1]]
    return [total / parts / max(end - begin, 1e-9) for begin, end in zip(begins, marks, strict=True)]


def when(accepted: list[tuple[float, float]], count: float) -> float:
    """Return the seconds at which a growing curve reaches `count`."""
    before = accepted[0]
    for at, value in accepted:
        if value >= count:
            share = (count - before[1]) / (value - before[1]) if value > before[1] else 1.0
            return before[0] + (at - before[0]) * share
        before = (at, value)
    raise ValueError(f"the curve ends before {count:g}")


def report(figures: Figures) -> str:
    """Return a Markdown table."""
    names = (f"{name}Microseconds" for name in SERVERS)
    servers = [f"{figures[name]:.0f}" for name in names if name in figures]
    rows = {
        "messages": f"{figures['messages']:.0f}",
        "greetings/s": f"{figures['perSecond']:.0f}",
        "greetings/s of each tenth": ", ".join(f"{figures[f'perSecond{part + 1}']:.0f}" for part in range(PARTS)),
        "last tenth of the first": f"{figures['lastOfFirst']:.2f}",
        "CPU µs a greeting: node, servers": f"{figures['nodeMicroseconds']:.0f}, {', '.join(servers)}",
        "memory of the node at most: looked at, MB; VmHWM, MiB": (
            f"{figures['memoryMegabytes']:.0f}, {figures['peakMebibytes']:.0f}"
        ),
        f"entries of {STREAM} at most": f"{figures['streamEntries']:.0f}",
        "bundles in the delivery queue at most": f"{figures['queueDepth']:.0f}",
        "messages on their way at most": f"{figures['onTheirWay']:.0f}",
        **{
            f"lateness of {name}: p50, p99, most, s": ", ".join(
                f"{figures[f'{share}Late_{name}']:.1f}" for share in ("p50", "p99", "most")
            )
            for name in ("birthday", "anniversary", "later")
            if f"mostLate_{name}" in figures
        },
        "overtaken by a message due later, at most, s": f"{figures['overtakenSeconds']:.1f}",
        "lost, twice, early": f"{figures['lost']:.0f}, {figures['twice']:.0f}, {figures['early']:.0f}",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), ""])


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--stream", action="store_true", help="the delivery queue is a Redis stream")
    parser.add_argument("--rate", type=float, help="HEYDAY_EMAIL_RATE, calls per second over all nodes")
    parser.add_argument("--others", type=float, default=0.0, help="share of the messages that are for another occasion")
    parser.add_argument("--later", type=float, default=0.0, help="share that becomes due while the rest drains")
    parser.add_argument("--pin-horizon", action="store_true", help="another session holds a snapshot throughout")
    parser.add_argument(
        "--most-memory",
        type=float,
        default=200.0,
        metavar="MIB",
        help="limit of the node's peak memory (VmHWM, %(default)g)",
    )
    parser.add_argument("--json", type=Path, help="write figures and curves to this file")
    parser.add_argument("--plots", type=Path, help="draw plots into this directory")
    args = parser.parse_args()
    figures, seen = uvloop.run(measure(args))
    sys.stdout.write(report(figures))
    drawn = seen.thinned()
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, "curves": drawn}, indent=1), encoding="utf-8")
    if args.plots:
        for name, unit in (("memory", "MB"), ("stream", "entries"), ("queue", "bundles"), ("accepted", "greetings")):
            curves(args.plots / f"backlog-{name}.png", "seconds", f"{name}, {unit}", {name: drawn[name]})
    if figures["peakMebibytes"] > args.most_memory:
        sys.exit(f"the node had {figures['peakMebibytes']:.0f} MiB, more than {args.most_memory:g}")
    if args.pin_horizon and figures["lastOfFirst"] < LEAST_LAST_OF_FIRST:
        sys.exit(f"the last tenth left at {figures['lastOfFirst']:.2f} of the rate of the first")
    if figures["lost"] or figures["twice"] or figures["early"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
