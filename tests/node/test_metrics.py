"""Every metric that is declared moves when what it measures happens, on nodes that meet one fault after another."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from actors.node import Node
from actors.runtime.events import TaskFailed
from service.embedded.relay import relayed
from service.settings import Secret, Settings
from service.telemetry.metrics import Metrics
from tests.node.harness import NOON, NeverCame, NodeProcess, World, eventually

A_WAVE = 1_200
OF_BUGS = {"actor_task_failures_total"}
"""No fault from outside makes it: it has a test of its own."""

Values = dict[tuple[str, tuple[tuple[str, str], ...]], set[float]]


class Watcher:
    """Scrapes nodes again and again, and keeps every value seen of every series."""

    def __init__(self) -> None:
        self.nodes: list[NodeProcess] = []
        self.values: Values = defaultdict(set)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for node in list(self.nodes):
                with suppress(aiohttp.ClientError, NeverCame, OSError):
                    await self._scrape(node)
            await asyncio.sleep(0.1)

    async def _scrape(self, node: NodeProcess) -> None:
        _, text = await node.get("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not math.isnan(sample.value):  # nothing that could be read just then
                    self.values[sample.name, tuple(sorted(sample.labels.items()))].add(sample.value)

    def highest(self, name: str, **labels: str) -> float:
        """The highest value seen of any series of that name with these labels."""
        found = [max(seen) for (of, has), seen in self.values.items() if of == name and {*labels.items()} <= {*has}]
        return max(found, default=0.0)

    async def rises(self, name: str, **labels: str) -> None:
        """Wait until a series of that name was seen above zero."""

        async def seen() -> bool:
            return self.highest(name, **labels) > 0

        try:
            await eventually(seen)
        except NeverCame as error:
            error.add_note(f"{name} {labels or ''}")
            raise

    def has_moved(self, name: str) -> bool:
        """Whether a series of that name had two values, or one that is not what it began with."""
        names = (name, f"{name}_count")
        return any(len(seen) > 1 or seen != {0.0} for (of, _), seen in self.values.items() if of in names)


@asynccontextmanager
async def watching() -> AsyncIterator[Watcher]:
    """A watcher at work."""
    watcher = Watcher()
    task = asyncio.ensure_future(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    """While inside, every statement about that table waits."""
    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table}")
            yield
    finally:
        await connection.close()


def declared() -> Iterable[str]:
    """The names of all metrics, as a scraper sees them."""
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            yield f"{metric._name}_total" if metric._type == "counter" else metric._name


async def holder_of_entries(world: World) -> NodeProcess:
    """The node that has claimed entries of heyday:due and not finished them."""
    async with Redis.from_url(world.redis_url, decode_responses=True) as redis:
        pending = await redis.xpending("heyday:due", "nodes")
    name = pending["consumers"][0]["name"]
    return next(node for node in world.nodes if node.name == name)


@pytest.mark.timeout(240)
async def test_every_metric_moves_in_a_wave_with_faults(world: World) -> None:
    """A metric that is never set shows a calm sea in any storm."""
    settings: dict[str, Any] = {
        "DATABASE_CONNECTIONS": "4",
        "EMAIL_CONCURRENCY": "8",
        "DELIVERY_ACTORS": "2",
        "LATE_LIMIT": "48h",
    }
    await world.begin()
    async with relayed(str(world.rabbitmq_url)) as rabbitmq, watching() as watcher:
        for _ in range(2):
            watcher.nodes.append(await world.node(RABBITMQ_URL=rabbitmq.url, **settings))
        # Of the next day, to come up when it is too late for them.
        await world.users(3, (NOON + timedelta(hours=45)).date())
        due = await world.wave(A_WAVE)
        await world.planned(A_WAVE + 3)
        await world.fetch("update users set email = ' ' where id = (select user_id from messages order by id limit 1)")
        for node in world.nodes:
            await node.logged("node_entered")

        # RabbitMQ goes away as the wave begins, and the node that then sits on the claimed entries dies.
        rabbitmq.cut()
        await world.clock.set(due)
        for name in ("queue_messages_failed_total", "stream_consumer_pending", "stream_oldest_pending_seconds"):
            await watcher.rises(name)
        holder = await holder_of_entries(world)
        watcher.nodes.remove(holder)
        await holder.kill()
        world.stub.change(world.stub.options.changed({"errorRate": 0.1, "acceptThenFailRate": 0.05, "latency": 0.05}))
        rabbitmq.mend()
        for name in ("node_deaths_total", "stream_reclaimed_total", "messages_sent_total", "actor_mailbox_depth"):
            await watcher.rises(name)

        # Redis is emptied, the email service goes away and comes back, statements wait, and an actor has a bug.
        async with Redis.from_url(world.redis_url) as redis:
            await redis.flushall()
        world.stub.change(world.stub.options.changed({"down": True}))
        for name in ("circuit_breaker_state", "delivery_queue_ready", "oldest_due_message_age_seconds"):
            await watcher.rises(name)
        world.stub.change(world.stub.options.changed({"down": False, "latency": 0.0}))
        async with locked(world, "messages"):
            await watcher.rises("db_connections_waiting")
        await world.fetch("alter table fences add constraint bug check (number < 0) not valid")
        await watcher.rises("actor_restarts_total", actor="ticker")
        await world.fetch("alter table fences drop constraint bug")
        for name in ("messages_failed_total", "dead_letters"):
            await watcher.rises(name)
        await world.clock.set(due + timedelta(days=3, hours=1))
        for name in ("messages_expired_total", "duplicates_suppressed_total"):
            await watcher.rises(name)

        for cause in ("server_error", "no_answer"):
            assert watcher.highest("messages_retried_total", cause=cause) > 0, cause
        assert [name for name in declared() if not watcher.has_moved(name) and name not in OF_BUGS] == []


def test_a_task_that_fails_is_counted() -> None:
    """Its actor lives on, so nothing else would tell of the bug."""

    async def node() -> Node:
        return Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")))

    made = asyncio.run(node())

    made._event(TaskFailed("senders-0", "send", ValueError("bug")))

    assert made.metrics.registry.get_sample_value("actor_task_failures_total", {"actor": "senders-0"}) == 1
