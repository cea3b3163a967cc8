"""Tests for the stream queue only: its claims, and acknowledgements during an outage of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from actors.commands.sandbox.servers.relay import relayed
from service.adapters.redis.connection import RedisClients, Reply, connect
from service.adapters.redis.delivery_queue import StreamDeliveryQueue
from service.adapters.redis.streams import MAX_TRIES
from service.ports import Delivery, QueueDepth, Unavailable


@pytest.fixture
async def clients(redis_url: str) -> AsyncIterator[RedisClients]:
    """Clients of an empty Redis."""
    clients = connect(redis_url)
    yield clients
    await clients.close()


async def receive(queue: StreamDeliveryQueue) -> Delivery:
    delivery = await queue.receive(within=60)
    assert delivery is not None
    return delivery


async def test_more_than_one_page_left_behind_is_delivered_once_each(clients: RedisClients) -> None:
    """A node that crashed with many bundles gets all of them again, each once."""
    bundles: list[tuple[UUID, ...]] = [(uuid4(),) for _ in range(250)]
    crashed = StreamDeliveryQueue(clients, consumer="a")
    await crashed.open()
    await crashed.publish(bundles)
    for _ in bundles:
        await receive(crashed)

    queue = StreamDeliveryQueue(clients, consumer="a")

    assert [(await receive(queue)).ids for _ in bundles] == bundles
    assert await queue.receive(within=0) is None


async def test_a_claim_whose_reply_was_lost_is_delivered(redis_url: str, clients: RedisClients) -> None:
    """The entry is claimed in Redis, but the node does not know its content."""
    wanted = (uuid4(),)
    async with relayed(redis_url) as relay:
        through_relay = connect(relay.url)
        queue = StreamDeliveryQueue(through_relay, consumer="a")
        await queue.open()
        assert await queue.receive(within=0.01) is None
        receiving = asyncio.ensure_future(queue.receive(within=30))
        while not (await clients.commands.info("clients"))["blocked_clients"]:
            pass
        relay.freeze()
        await StreamDeliveryQueue(clients, consumer="b").publish([wanted])
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        relay.thaw()

        assert (await receive(queue)).ids == wanted
        await through_relay.close()


async def test_an_acknowledgement_that_redis_did_not_hear_is_delivered_again(redis_url: str) -> None:
    """A repeated bundle is harmless. A forgotten one would stay claimed for ever."""
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        queue = StreamDeliveryQueue(clients, consumer="a")
        await queue.open()
        await queue.publish([[uuid4()]])
        delivery = await receive(queue)
        relay.cut()

        await queue.acknowledge(delivery)

        relay.mend()
        assert (await receive(queue)).ids == delivery.ids
        await clients.close()


async def test_a_bundle_that_kills_its_nodes_ends_with_the_dead_letters(clients: RedisClients) -> None:
    """RabbitMQ does the same, after more deliveries."""
    survivor = StreamDeliveryQueue(clients, consumer="survivor")
    await survivor.open()
    await survivor.publish([[uuid4()]])

    for victim in range(MAX_TRIES + 1):
        await receive(StreamDeliveryQueue(clients, consumer=f"victim {victim}"))
        await survivor.requeue_abandoned(living={"survivor"})

    assert await survivor.depth() == QueueDepth(ready=0, unacknowledged=0, dead=1)


async def test_the_depth_tells_what_is_taken(clients: RedisClients) -> None:
    """Redis knows the consumer of each entry."""
    queue = StreamDeliveryQueue(clients, consumer="a")
    await queue.open()
    await queue.publish([[uuid4()], [uuid4()]])

    await receive(queue)

    assert await queue.depth() == QueueDepth(ready=1, unacknowledged=1, dead=0)


async def test_a_queue_without_redis_is_unavailable() -> None:
    """This includes the first read of pending entries."""
    clients = connect("redis://127.0.0.1:1")
    queue = StreamDeliveryQueue(clients, consumer="a")

    with pytest.raises(Unavailable):
        await queue.receive(within=0)

    await clients.close()


async def test_dead_letters_of_every_kind_are_counted_in_redis(clients: RedisClients) -> None:
    """A failed message, an unreadable bundle, and one that came back too often."""
    dead: list[int] = []
    queue = StreamDeliveryQueue(clients, consumer="a", on_dead_letters=dead.append)
    await queue.open()
    await queue.dead_letter([uuid4(), uuid4()])
    await clients.commands.xadd("heyday:delivery", {"body": "rubbish"})
    assert await queue.receive(within=0) is None
    poison = ",".join(str(uuid4()) for _ in range(3))
    await clients.commands.xadd("heyday:delivery", {"body": poison, "tries": MAX_TRIES})
    await receive(StreamDeliveryQueue(clients, consumer="victim"))

    await queue.requeue_abandoned(living={"a"})

    assert dead == [2, 1, 3]


async def test_the_oldest_dead_letters_give_way_in_redis(clients: RedisClients) -> None:
    """Only operators empty that stream, and memory is finite. Redis drops whole blocks of 100 entries."""
    queue = StreamDeliveryQueue(clients, consumer="a", max_dead_letters=200)
    await queue.open()
    ids = [uuid4() for _ in range(600)]

    await queue.dead_letter(ids)

    depth = await queue.depth()
    assert 200 <= depth.dead < 400
    newest: Reply = await clients.commands.xrevrange("heyday:dead", count=1)
    assert newest[0][1]["body"] == str(ids[-1])
