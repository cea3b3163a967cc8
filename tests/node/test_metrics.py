"""Every declared metric moves when its event happens, on nodes with one fault after another."""

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

from actors.commands.sandbox.servers.relay import relayed
from actors.node import Node
from actors.runtime.events import TaskFailed
from service.settings import Secret, Settings
from service.telemetry.metrics import Metrics
from tests.node.harness import NOON, NeverCame, NodeProcess, World, eventually, locked

A_WAVE = 1_200
OF_BUGS = {"actor_task_failures_total"}
"""Metrics that no outside fault moves; they have their own test."""

OF_LOSSES = {"queue_messages_lost_total"}
"""Metrics that move when a message has been queued for 90 s: tests/actors/test_lossy_queue.py moves them."""

Values = dict[tuple[str, tuple[tuple[str, str], ...]], set[float]]


class Watcher:
    """Scrapes nodes repeatedly, and keeps every value of every series."""

    def __init__(self) -> None:
        self.nodes: list[NodeProcess] = []
        self.values: Values = defaultdict(set)

    async def run(self) -> None:
        """Scrape until cancelled."""
        while True:
            for node in list(self.nodes):
                with suppress(aiohttp.ClientError, NeverCame, OSError):
                    await self._scrape(node)
            await asyncio.sleep(0.1)

    async def _scrape(self, node: NodeProcess) -> None:
        _, text = await node.get("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not math.isnan(sample.value):  # not readable at that moment
                    self.values[sample.name, tuple(sorted(sample.labels.items()))].add(sample.value)

    def highest(self, name: str, **labels: str) -> float:
        """Return the highest value of any series of that name with these labels."""
        found = [max(seen) for (of, has), seen in self.values.items() if of == name and {*labels.items()} <= {*has}]
        return max(found, default=0.0)

    async def rises(self, name: str, **labels: str) -> None:
        """Wait until a series of that name is above zero."""

        async def seen() -> bool:
            return self.highest(name, **labels) > 0

        try:
            await eventually(seen)
        except NeverCame as error:
            error.add_note(
                "\n".join([f"{name} {labels or ''}", *(f"{node.name}:\n{node.tail()}" for node in self.nodes)])
            )
            raise

    def has_moved(self, name: str) -> bool:
        """Return True if a series of that name changed its value."""
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
async def snapshot(world: World) -> AsyncIterator[None]:
    """Hold a snapshot of the database during the block, as a backup does."""
    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("select 1")
            yield
    finally:
        await connection.close()


def declared() -> Iterable[str]:
    """Return the names of all metrics, as a scraper sees them."""
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            yield f"{metric._name}_total" if metric._type == "counter" else metric._name


async def holder_of_entries(world: World) -> NodeProcess:
    """Return the node that has pending entries of heyday:due."""
    async with Redis.from_url(world.redis_url, decode_responses=True) as redis:
        pending = await redis.xpending("heyday:due", "nodes")
    name = pending["consumers"][0]["name"]
    return next(node for node in world.nodes if node.name == name)


@pytest.mark.timeout(240)
async def test_every_metric_moves_in_a_wave_with_faults(world: World) -> None:
    """A metric that is never set hides every fault."""
    settings: dict[str, Any] = {
        "DATABASE_CONNECTIONS": "4",
        "EMAIL_CONCURRENCY": "8",
        "DELIVERY_ACTORS": "2",
        "EMAIL_TIMEOUT": "20s",
        "LATE_LIMIT": "48h",
        "EMAIL_EVENTS_SECRETS": "brevo:only-for-this-test",
        "API_KEYS": "reader:read:another-of-this-test",
    }
    await world.begin()
    async with relayed(str(world.rabbitmq_url)) as rabbitmq, watching() as watcher:
        for _ in range(2):
            watcher.nodes.append(await world.node(RABBITMQ_URL=rabbitmq.url, **settings))
        # Messages of the next day, which come up too late.
        await world.users(3, (NOON + timedelta(hours=45)).date())
        due = await world.wave(A_WAVE)
        await world.planned(A_WAVE + 3)
        # Several, because a refused message whose earlier call had no answer in time ends as unknown.
        await world.fetch("update users set email = ' ' where id in (select user_id from messages order by id limit 9)")
        await world.fetch(
            """create function refuse_one() returns trigger language plpgsql as $$
            begin raise exception 'this row is damaged'; end $$"""
        )
        damaged = await world.value("select id from messages order by send_at desc limit 1")
        await world.fetch(
            "create trigger refuse_one before update on messages for each row "
            f"when (old.id = '{damaged}') execute function refuse_one()"
        )
        await world.fetch(
            """
            insert into suppressions (address_hash, reason, source)
            select sha256(convert_to(email_key, 'UTF8')), 'opt_out', 'a test' from users
            where id = (select user_id from messages where send_at = $1 order by id desc limit 1)
            """,
            due,
        )
        # An occasion of which there is nothing to send.
        await world.fetch("insert into holds (occasion, reason, author) values ('anniversary', 'a test', 'ops')")
        for node in world.nodes:
            await node.logged("node_entered")
            await node.logged("sending_held")
        await world.fetch("insert into limits (name, value, author) values ('log_level', 'info', 'ops')")
        for node in world.nodes:
            await node.logged("limit_changed")

        # RabbitMQ goes away when the wave begins, and the node with pending entries dies.
        rabbitmq.cut()
        await world.clock.set(due)
        for name in ("queue_messages_failed_total", "stream_consumer_pending", "stream_oldest_pending_seconds"):
            await watcher.rises(name)
        holder = await holder_of_entries(world)
        watcher.nodes.remove(holder)
        await holder.kill()
        # So slow that the wave outlasts the waits below: on a busy machine the gauges are read every half minute.
        world.stub.change(world.stub.options.changed({"errorRate": 0.1, "acceptThenFailRate": 0.05, "latency": 0.7}))
        rabbitmq.mend()
        for name in (
            *("node_deaths_total", "stream_reclaimed_total", "messages_sent_total", "actor_mailbox_depth"),
            "delivery_queue_ready",
        ):
            await watcher.rises(name)

        [survivor] = watcher.nodes
        webhook = {"json": {"event": "delivered"}, "headers": {"Authorization": "Bearer only-for-this-test"}}
        assert (await survivor.call("POST", "/api/v1/email-events/brevo", **webhook))[0] == 200
        key = {"Authorization": "Bearer another-of-this-test"}
        assert (await survivor.call("GET", "/api/v1/me", headers=key))[0] == 200

        # Redis is emptied, the email service goes away and comes back, statements wait, and an actor has a bug.
        async with Redis.from_url(world.redis_url) as redis:
            await redis.flushall()
        world.stub.change(world.stub.options.changed({"down": True}))
        for name in ("circuit_breaker_state", "oldest_due_message_age_seconds"):
            await watcher.rises(name)
        world.stub.change(world.stub.options.changed({"down": False, "latency": 0.0}))
        async with locked(world, "messages"):
            await watcher.rises("db_connections_waiting")
        async with snapshot(world):
            await watcher.rises("db_oldest_snapshot_age_seconds")
        for name in ("messages_failed_total", "dead_letters", "suppressed_total"):
            await watcher.rises(name)
        # The ticker meets the bug when it has something to claim: the messages of the next day.
        await world.fetch("alter table fencing_tokens add constraint bug check (token < 0) not valid")
        await world.clock.set(due + timedelta(days=3, hours=1))
        await watcher.rises("actor_restarts_total", actor="ticker")
        await world.fetch("alter table fencing_tokens drop constraint bug")
        for name in ("messages_expired_total", "duplicates_suppressed_total", "messages_set_aside_total"):
            await watcher.rises(name)

        for cause in ("server_error", "no_answer"):
            assert watcher.highest("messages_retried_total", cause=cause) > 0, cause
        assert [name for name in declared() if not watcher.has_moved(name) and name not in OF_BUGS | OF_LOSSES] == []


def test_a_task_that_fails_is_counted() -> None:
    """Its actor continues, so no other signal shows the bug."""

    async def node() -> Node:
        return Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")))

    made = asyncio.run(node())

    made.tree_changed(TaskFailed("senders-0", "send", ValueError("bug")))

    assert made.metrics.registry.get_sample_value("actor_task_failures_total", {"actor": "senders-0"}) == 1
