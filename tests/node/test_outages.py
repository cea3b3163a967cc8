"""Redis and RabbitMQ may be emptied, and every server may go away in the middle of a wave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import aio_pika
import pytest
from redis.asyncio import Redis

from actors.commands.sandbox.servers.relay import relayed
from actors.dispatcher import IDS_PER_BUNDLE
from actors.wiring import PREFETCH
from tests.node.harness import World, eventually
from tests.servers import Servers
from tests.stopwatch import Stopwatch

A_WAVE = PREFETCH * IDS_PER_BUNDLE + 200
"""More greetings than a node takes in advance."""

SLOW: dict[str, Any] = {"EMAIL_CONCURRENCY": "40", "DELIVERY_ACTORS": "2"}
"""With calls of 0.1 s a wave takes three seconds."""

Fault = Callable[[World], Awaitable[None]]


async def flush_redis(world: World) -> None:
    async with Redis.from_url(world.redis_url) as client:
        await client.flushall()


async def delete_queue(world: World) -> None:
    async with await aio_pika.connect(str(world.rabbitmq_url)) as connection:
        await (await connection.channel()).queue_delete("heyday.delivery")


async def in_mid_wave(world: World) -> None:
    """Start a node, and return while the wave is being sent."""
    world.stub.change(world.stub.options.changed({"latency": 0.1}))
    await world.begin()
    await world.node(**SLOW)
    await world.clock.set(await world.wave(A_WAVE))
    await world.accepted(100)


@pytest.mark.parametrize("empty", [flush_redis, delete_queue])
async def test_a_store_that_is_emptied_in_mid_wave_loses_no_greeting(world: World, empty: Fault) -> None:
    """Readers notice the emptied store, and the work is found again in the rows at once."""
    await in_mid_wave(world)

    await empty(world)
    await world.all_are("sent", A_WAVE)

    await world.assert_nobody_was_greeted_twice()
    await world.assert_each_was_accepted_once(A_WAVE)
    assert world.nodes[0].crashes() == []


async def test_a_redis_that_is_queue_and_stream_may_be_emptied_in_mid_wave(small_world: World) -> None:
    """Without RabbitMQ, all work on its way is lost at once."""
    await in_mid_wave(small_world)

    await flush_redis(small_world)
    await small_world.all_are("sent", A_WAVE)

    await small_world.assert_each_was_accepted_once(A_WAVE)
    assert small_world.nodes[0].crashes() == []


async def test_a_redis_that_takes_no_writes_for_now_is_waited_out(world: World) -> None:
    """Its disk is full, or it lacks replicas. Taken for a bug, the refusal would let no outcome be recorded."""
    await in_mid_wave(world)
    (node,) = world.nodes
    async with Redis.from_url(world.redis_url) as redis:
        await redis.config_set("min-replicas-to-write", 1)
        try:
            await node.logged("outage_began", system="redis")
            sent = (await world.counts())["sent"]
            # What RabbitMQ has still leaves, and is recorded.
            await eventually(lambda: has_more_than(world, sent + 20))
        finally:
            await redis.config_set("min-replicas-to-write", 0)
    await world.all_are("sent", A_WAVE)

    await world.assert_each_was_accepted_once(A_WAVE)
    assert node.crashes() == []


async def has_more_than(world: World, sent: int) -> bool:
    return (await world.counts())["sent"] > sent


async def test_a_queue_that_is_purged_in_mid_wave_loses_no_greeting(world: World) -> None:
    """A purge gives no signal; only rows that are `queued` for too long show it."""
    await world.begin()
    async with relayed(world.stub.url) as relay, await aio_pika.connect(str(world.rabbitmq_url)) as connection:
        relay.freeze()  # calls begin and wait, so that bundles stay in the queue
        node = await world.node(**SLOW, EMAIL_URL=relay.url, EMAIL_TIMEOUT="60s")
        await world.clock.set(await world.wave(A_WAVE))
        channel = await connection.channel()

        async def queued() -> int:
            return (await channel.declare_queue("heyday.delivery", passive=True)).declaration_result.message_count or 0

        await eventually(queued)
        purged = await (await channel.get_queue("heyday.delivery")).purge()
        assert purged.message_count
        await world.clock.advance(timedelta(minutes=2))
        await node.call("POST", "/api/v1/jobs/recovery:run")  # the job of the node's own schedule may be first

        async def taken_back() -> bool:
            return await node.metric("queue_messages_lost_total") > 0

        await eventually(taken_back)
        relay.mend()
        await world.all_are("sent", A_WAVE)

    await world.assert_each_was_accepted_once(A_WAVE)
    await world.assert_nobody_was_greeted_twice()


@pytest.mark.parametrize(
    ("systems", "how"),
    [
        pytest.param(["rabbitmq"], "kill", id="RabbitMQ killed"),
        pytest.param(["postgres", "redis", "rabbitmq"], "stop", id="all stopped"),
        pytest.param(["postgres"], "kill", id="PostgreSQL killed", marks=pytest.mark.nightly),
        pytest.param(["redis"], "kill", id="Redis killed", marks=pytest.mark.nightly),
        pytest.param(["postgres", "redis", "rabbitmq"], "kill", id="all killed", marks=pytest.mark.nightly),
    ],
)
async def test_a_server_that_goes_away_in_mid_wave_is_waited_out(
    world: World, servers: Servers, systems: list[str], how: str
) -> None:
    """An outage is not a crash: one log line at its start and one at its end, and nothing is lost."""
    await in_mid_wave(world)
    node = world.nodes[0]

    await asyncio.gather(*(getattr(getattr(servers, system), how)() for system in systems))
    for system in systems:
        await node.logged("outage_began", system=system)
    await servers.start()
    for system in systems:
        await node.logged("outage_ended", system=system)
    await world.all_are("sent", A_WAVE)

    await world.assert_nobody_was_greeted_twice()
    assert {one.key for one in world.acceptances()} == {
        str(row["id"]) for row in await world.fetch("select id from messages")
    }
    for system in systems:
        assert len(node.lines_of("outage_began", system=system)) == 1, system
        assert len(node.lines_of("outage_ended", system=system)) == 1, system
    assert node.crashes() == []
    assert await node.drained() == 0


async def test_a_short_outage_of_rabbitmq_under_a_rate_costs_no_further_silence(world: World) -> None:
    """All that was taken and not acknowledged comes again. Its turns under the rate were used up by what was sent."""
    await world.begin()
    async with relayed(str(world.rabbitmq_url)) as relay:
        await world.node(RABBITMQ_URL=relay.url, EMAIL_RATE="60/s")
        await world.clock.set(await world.wave(600))
        await world.accepted(100)

        watch = Stopwatch()
        relay.cut()
        await asyncio.sleep(3)  # the test depends on the length of the outage
        relay.mend()
        outage = watch.elapsed()
        await world.all_are("sent", 600)
        starved = watch.starved()

    instants = sorted(one.at / 1000 for one in world.acceptances())
    silence = max(after - before for before, after in pairwise(instants))
    assert silence < outage + 2 + starved
    await world.assert_nobody_was_greeted_twice()


async def test_what_a_dead_node_was_sending_is_freed_while_redis_does_not_answer(world: World, redis_url: str) -> None:
    """A server that does not answer must not delay the detection of a dead node."""
    world.stub.change(world.stub.options.changed({"hangRate": 1.0}))
    await world.begin()
    dying = await world.node(EMAIL_TIMEOUT="60s")
    due = await world.wave(20)
    async with relayed(redis_url) as relay:
        await world.clock.set(due)
        await eventually(lambda: world.has("sending", 20))
        living = await world.node(REDIS_URL=relay.url)
        await living.logged("node_entered")

        relay.freeze()
        await living.logged("outage_began", system="redis")
        await dying.kill()
        since_death = Stopwatch()
        await eventually(lambda: world.has("retrying", 20))

        assert since_death.seconds() < 15
        # Each greeting has its log line, although its node is dead. It is written after the row.
        fields: dict[str, Any] = {
            "actor": "failure_detector",
            "outcome": "unknown",
            "attempt": 1,
            "occasion": "birthday",
        }
        await living.logged("greeting_retrying", times=20, **fields)
        lines = living.lines_of("greeting_retrying", **fields)
        assert len({line["message"] for line in lines}) == len(lines) == 20
        assert await living.metric('messages_outcome_unknown_total{occasion="birthday"}') == 20


async def test_what_was_accepted_while_postgres_was_out_of_reach_is_not_sent_again(small_world: World) -> None:
    """A node without PostgreSQL continues with its claims, but cannot record the outcomes.

    The node that takes over learns from Redis which messages were accepted.
    """
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.3}))
    await world.begin()
    few: dict[str, Any] = {"EMAIL_CONCURRENCY": "4", "DELIVERY_ACTORS": "1", "EMAIL_TIMEOUT": "20s"}
    async with relayed(world.dsn) as relay:
        alone = await world.node(DATABASE_URL=relay.url, **few)
        await world.clock.set(await world.wave(60))
        await world.accepted(8)

        relay.cut()
        unwritten = await world.value("select count(*) from messages where status = 'sending'")
        other = await world.node(**few)
        await world.all_are("sent", 60)
        remembered = await other.metric('duplicates_suppressed_total{by="dedupe"}')
        relay.mend()
        await alone.logged("outage_ended", system="postgres")

    assert unwritten >= 4
    assert remembered > 0
    # The takeover counts their attempts as unknown, which would excuse a second acceptance.
    assert len(world.acceptances()) == len({one.key for one in world.acceptances()}) == 60


async def test_a_node_cut_off_from_postgres_alone_gives_its_bundles_to_others(world: World) -> None:
    """It keeps its connection to the broker, which would otherwise wait for its acknowledgements."""
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    await world.begin()
    async with relayed(world.dsn) as relay:
        alone = await world.node(DATABASE_URL=relay.url, EMAIL_CONCURRENCY="4", DELIVERY_ACTORS="1")
        await world.clock.set(await world.wave(300))
        await world.accepted(8)

        relay.cut()
        since_cut = Stopwatch()
        await world.node(EMAIL_CONCURRENCY="200")
        await world.all_are("sent", 300)
        took = since_cut.seconds()
        relay.mend()
        await alone.logged("outage_ended", system="postgres")

    # Within 15 s the claims of the node are free; the others then need a few seconds to send.
    assert took < 30
    await world.assert_nobody_was_greeted_twice()
