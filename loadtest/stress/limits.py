"""Scenarios that exhaust a limit: database connections, room in the delivery queue, memory of a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
from redis.asyncio import Redis

from actors.commands.chaos.servers import given_servers
from loadtest.api import serving
from loadtest.bench import Bench, bench
from loadtest.programs import node, peak_memory
from loadtest.report import curves
from loadtest.stress.boundary import Boundary, memory_boundary
from loadtest.stress.greetings import Greetings
from loadtest.stress.results import table
from loadtest.stress.scenario import Check, Outcome, Setting, at_least, at_most, none
from loadtest.stress.shapes import crowd
from loadtest.stress.stand import standing
from loadtest.stress.traffic import rates
from loadtest.watch import watching
from service.adapters.rabbitmq.queue import RabbitMQDeliveryQueue
from service.adapters.rabbitmq.topology import DELIVERY

CONNECTIONS_WAVE = 3_000
EXHAUSTED_AFTER, EXHAUSTED_FOR = 15.0, 10.0
"""Seconds from the start of the traffic until every connection is taken, and the duration of that."""

BACK_WITHIN = 6.0
"""Seconds from the first free connection until no request fails; nodes retry every few seconds."""

_END_THOSE_OF_HEYDAY = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'heyday'
"""

OVERFLOW = 20_000
QUEUE_HOLDS = 20
"""Bundles that the delivery queue may hold, by a policy that refuses more: 1,000 messages."""

BEYOND = 64
"""Bundles by which a quorum queue may exceed its limit before it refuses more."""

DRAINED = 20_000
LIMIT = 160
"""Memory of a node in MiB: less than a third of the memory in the manifests of deploy/."""

TOO_LITTLE = (64, 56, 50, 46, 42, 38)
"""Memory limits in MiB, one after another, at which a node can start but cannot drain a backlog."""

STARVED_FOR = 8.0
"""Seconds at each limit."""

STARVED_RATE = "300/s"
"""Greetings per second; low, so that work is left at every limit."""


async def connections(setting: Setting) -> Outcome:
    """Run traffic and greetings; nodes lose their connections to PostgreSQL, and another client takes all of them."""
    shape = crowd(100, each=1, within=5, seconds=60)
    async with standing(people=CONNECTIONS_WAVE, settings={"EMAIL_RATE": "60/s"}) as stand:
        servers = given_servers(stand.dsn, stand.bench.servers.redis.url, None)
        watcher = await asyncpg.connect(stand.dsn)
        await stand.greetings.put(CONNECTIONS_WAVE, datetime.now(UTC) + timedelta(seconds=5))
        held = 0

        async def exhaust() -> None:
            nonlocal held
            await asyncio.sleep(EXHAUSTED_AFTER)
            async with servers.holding_every_connection() as holding:
                for _ in range(int(EXHAUSTED_FOR / 0.1)):
                    await watcher.execute(_END_THOSE_OF_HEYDAY)
                    await asyncio.sleep(0.1)
                held = holding()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(exhaust())
            results = await stand.traffic(shape)
        await watcher.close()
        books = await stand.greetings.checks()
    back = EXHAUSTED_AFTER + EXHAUSTED_FOR + BACK_WITHIN
    others = {kind: count for kind, count in results.failures.items() if kind != "503"}
    checks = (
        at_least("connections held by another client", held, 50),
        at_least("requests answered with 503 meanwhile", results.failures.get("503", 0), 1),
        Check("failures that are not 503", str(others or 0), "0", not others),
        none(f"failures from {BACK_WITHIN:g} s after the first free connection on", results.failed(back, 1e9)),
        *books,
    )
    return Outcome(checks, table(results), (rates(setting.place, "connections", shape, results),))


async def queue_full(setting: Setting) -> Outcome:
    """Make more due than the delivery queue may hold; RabbitMQ refuses bundles beyond its limit."""
    async with bench(keep=OVERFLOW + 1) as running, running.database() as dsn:
        rabbitmq = running.servers.rabbitmq
        if rabbitmq is None:
            return Outcome((Check("RabbitMQ", "not installed", "installed", good=False),))
        policy = f'{{"max-length":{QUEUE_HOLDS},"overflow":"reject-publish"}}'
        await rabbitmq.control("set_policy", "full", f"^{DELIVERY}$", policy, "--apply-to", "queues")
        greetings = Greetings(running, dsn, OVERFLOW)
        await greetings.sign_up()
        await running.behave(latency=0.02)
        await greetings.put(OVERFLOW, datetime.now(UTC))
        settings = {"EMAIL_URL": running.stub_url, "EMAIL_CONCURRENCY": "20", "LOG_LEVEL": "warning"}
        async with (
            serving(running.servers, dsn, "off", settings),
            Redis.from_url(running.servers.redis.url) as redis,
            _queue(rabbitmq.url) as queue,
        ):

            async def depth() -> float:
                return float((await queue.depth()).ready)

            async def entries() -> float:
                return float(await redis.xlen("heyday:due"))

            async with watching({"queue": depth, "stream": entries}) as seen:
                books = await greetings.checks()
        log = (running.servers.place / "node.log").read_text(encoding="utf-8")
    checks = (
        at_most("bundles in the delivery queue", seen.most("queue"), QUEUE_HOLDS + BEYOND),
        at_least("bundles in it at its peak, so it was full", seen.most("queue"), QUEUE_HOLDS),
        at_most("entries of heyday:due, of 500 messages at the most", seen.most("stream"), 150),
        none("actors that crashed", log.count('"actor_crashed"')),
        *books,
    )
    series = {name: seen.curves[name] for name in ("queue", "stream")}
    return Outcome(checks, "", (curves(setting.place / "queue-full.png", "seconds", "entries", series),))


@asynccontextmanager
async def _queue(url: str) -> AsyncIterator[RabbitMQDeliveryQueue]:
    queue = RabbitMQDeliveryQueue(url, prefetch=1)
    try:
        yield queue
    finally:
        await queue.close()


async def memory(_setting: Setting) -> Outcome:
    """Drain a backlog with enough memory, then with too little, then without a limit."""
    async with bench(keep=2 * DRAINED + 1) as running, running.database() as dsn:
        greetings = Greetings(running, dsn, 2 * DRAINED)
        await greetings.sign_up()
        await running.behave(latency=0.01)
        with memory_boundary(LIMIT) as enough:
            await greetings.put(DRAINED, datetime.now(UTC))
            lived = _Kept(running, dsn, enough)
            async with lived.running():
                first = await greetings.checks()
        await greetings.put(DRAINED, datetime.now(UTC))
        ends = {}
        for mebibytes in TOO_LITTLE:
            with memory_boundary(mebibytes) as too_little:
                starved = _Kept(running, dsn, too_little, EMAIL_RATE=STARVED_RATE)
                async with starved.running():
                    await asyncio.sleep(STARVED_FOR)
            ends[mebibytes] = starved.ends
        meanwhile = (await running.stats())["keys"] - DRAINED
        async with _Kept(running, dsn, None).running():
            then = await greetings.checks()
    return Outcome(
        (
            none(f"ends of the node in {LIMIT} MiB", lived.ends),
            at_most("its memory (VmHWM)", lived.peak, LIMIT, " MiB"),
            *first,
            at_least(f"ends of the node in {TOO_LITTLE[0]} MiB and less", sum(ends.values()), 1),
            *then,
        ),
        f"The memory is limited by {enough.how}, then less. Ends of the starved node, which was always started again: "
        + ", ".join(f"{count} in {mebibytes} MiB" for mebibytes, count in ends.items())
        + f". It has sent {meanwhile:.0f} greetings meanwhile.",
    )


class _Kept:
    """A node that is restarted when it ends, as a service manager does."""

    def __init__(self, running: Bench, dsn: str, boundary: Boundary | None, **settings: str) -> None:
        self._running = running
        self._settings = settings
        self._dsn = dsn
        self._under: Sequence[str] = boundary.under if boundary else ()
        self.ends = 0
        self.peak = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep())
            try:
                yield
            finally:
                keeper.cancel()

    async def _keep(self) -> None:
        settings = {"EMAIL_URL": self._running.stub_url, "BIND": "127.0.0.1:0", "LOG_LEVEL": "error"}
        settings |= self._settings
        log = self._running.servers.place / "node.log"
        while True:
            async with node(self._running.servers, self._dsn, settings, log=log, under=self._under) as process:
                ended = asyncio.ensure_future(process.wait())
                while not ended.done():
                    self._look(process.pid)
                    await asyncio.wait([ended], timeout=0.2)
            self.ends += 1

    def _look(self, pid: int) -> None:
        try:
            self.peak = max(self.peak, peak_memory(pid))
        except (ProcessLookupError, FileNotFoundError):
            return
