"""Tests for RabbitMQ only: confirms, returned messages, different arguments, and half-open connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from actors.commands.sandbox.servers.relay import relayed
from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.adapters.rabbitmq import queue as queue_module
from service.adapters.rabbitmq.link import Link, translating
from service.adapters.rabbitmq.topology import DELIVERY_LIMIT
from service.ports import Emptied, Unavailable


def bundle() -> list[UUID]:
    return [uuid4(), uuid4()]


@pytest.fixture
async def queue(rabbitmq_url: str) -> AsyncIterator[RabbitMQDeliveryQueue]:
    """The queue of one node, open."""
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=3, confirm_within=5)
    await queue.open()
    yield queue
    await queue.close()


@asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        yield channel


async def test_messages_are_durable_text_that_a_person_can_read(
    queue: RabbitMQDeliveryQueue, rabbitmq_url: str
) -> None:
    """A broker that restarts must keep them, and its management page shows them."""
    ids = bundle()
    await queue.publish([ids])

    async with channel_to(rabbitmq_url) as channel:
        message: AbstractIncomingMessage = await (await channel.get_queue("heyday.delivery")).get()
        await message.ack()

    assert message.body == ",".join(map(str, ids)).encode()
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (message.content_type, message.app_id) == ("text/plain", "heyday")
    assert message.message_id


async def test_dead_letters_have_their_reason(queue: RabbitMQDeliveryQueue, rabbitmq_url: str) -> None:
    """Dead letters are failed messages, malformed bundles, and bundles that came back too often."""
    await queue.dead_letter([uuid4()])

    async with channel_to(rabbitmq_url) as channel:
        message = await (await channel.get_queue("heyday.dead")).get()
        await message.ack()

    assert message.headers["reason"] == "failed"


async def test_a_queue_deleted_before_a_publish_is_made_again(queue: RabbitMQDeliveryQueue, rabbitmq_url: str) -> None:
    """Without `mandatory` the broker would confirm bundles that it dropped."""
    async with channel_to(rabbitmq_url) as channel:
        await channel.queue_delete("heyday.delivery")
    bundles = [bundle() for _ in range(5)]

    await queue.publish(bundles)

    with pytest.raises(Emptied):
        await queue.receive(within=60)
    received = [await queue.receive(within=60) for _ in range(3)]
    assert [delivery.ids for delivery in received if delivery] == [tuple(ids) for ids in bundles[:3]]


async def test_a_queue_deleted_while_no_node_was_connected_is_reported(
    queue: RabbitMQDeliveryQueue, rabbitmq_url: str
) -> None:
    """No consumer is cancelled, and the next node to connect creates the queue again. Its content is missing."""
    await queue.publish([bundle()])
    await queue.close()
    async with channel_to(rabbitmq_url) as channel:
        await channel.queue_delete("heyday.delivery")

    with pytest.raises(Emptied):
        await queue.receive(within=60)

    wanted = bundle()
    await queue.publish([wanted])
    delivery = await queue.receive(within=60)
    assert delivery is not None
    assert delivery.ids == tuple(wanted)


async def test_the_first_start_of_all_is_no_deletion(rabbitmq_url: str) -> None:
    """Both connections find no queue, at the same time. Nothing was lost, and no alarm is due."""
    for _ in range(5):
        queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=1)

        _, received = await asyncio.gather(queue.publish([bundle()]), queue.receive(within=60))

        assert received is not None
        await queue.acknowledge(received)
        await queue.close()
        async with channel_to(rabbitmq_url) as channel:
            await channel.queue_delete("heyday.delivery")


async def test_a_deleted_exchange_is_made_again(queue: RabbitMQDeliveryQueue, rabbitmq_url: str) -> None:
    """The broker closes the channel, and the next call opens a new one."""
    async with channel_to(rabbitmq_url) as channel:
        await channel.exchange_delete("heyday.delivery")

    with pytest.raises(Unavailable, match="NOT_FOUND"):
        await queue.publish([bundle()])

    await queue.publish([bundle()])
    assert await queue.receive(within=60) is not None


async def test_a_bundle_that_the_broker_refuses_is_unconfirmed(queue: RabbitMQDeliveryQueue, rabbitmq_url: str) -> None:
    """A nack is no confirm: the bundle must be published again."""
    async with channel_to(rabbitmq_url) as channel:
        full = await channel.declare_queue(
            "heyday.full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"}, auto_delete=False
        )
        await full.bind("heyday.delivery", "heyday.delivery")

        with pytest.raises(Unavailable, match=r"Basic\.Nack"):
            await queue.publish([bundle() for _ in range(20)])

        await full.delete(if_empty=False)
    await queue.publish([bundle()])


async def test_a_queue_with_other_settings_is_reported_readably(rabbitmq_url: str) -> None:
    """An operator must decide what to do with the queue."""
    async with channel_to(rabbitmq_url) as channel:
        await channel.declare_queue("heyday.delivery", durable=True)
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=3)

    with pytest.raises(Unavailable, match=r"other settings than heyday's .*inequivalent arg.* Delete it"):
        await queue.open()
    with pytest.raises(Unavailable, match="other settings"):
        await queue.receive(within=1)

    async with channel_to(rabbitmq_url) as channel:
        await channel.queue_delete("heyday.delivery")
    await queue.open()
    await queue.close()


async def test_a_bundle_that_kills_its_consumers_ends_with_the_dead_letters(rabbitmq_url: str) -> None:
    """Without a limit it would be delivered for ever."""
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=3)
    poison = bundle()
    await queue.publish([poison])

    for _ in range(DELIVERY_LIMIT + 1):
        delivery = await queue.receive(within=60)
        assert delivery is not None
        assert delivery.ids == tuple(poison)
        await queue.close()

    assert await queue.receive(within=0.2) is None
    async with asyncio.timeout(60):
        while (await queue.depth()).dead != 1:  # noqa: ASYNC110 -- the broker has no event for it
            await asyncio.sleep(0.02)
    await queue.close()


async def test_pausing_often_makes_no_dead_letters(queue: RabbitMQDeliveryQueue) -> None:
    """In a long outage the circuit opens more often than the delivery limit."""
    waiting = bundle()
    await queue.publish([waiting])

    for _ in range(DELIVERY_LIMIT + 5):
        consumer = await queue._consume()
        while not consumer._handed:
            await consumer._changed.wait()
        await queue.pause()

    delivery = await queue.receive(within=60)
    assert delivery is not None
    assert delivery.ids == tuple(waiting)
    assert (await queue.depth()).dead == 0


async def test_no_more_is_taken_than_the_prefetch(queue: RabbitMQDeliveryQueue) -> None:
    """No other node can send a bundle that one node holds."""
    await queue.publish([bundle() for _ in range(5)])
    assert await queue.receive(within=60) is not None

    async with asyncio.timeout(60):
        while (await queue.depth()).ready != 2:  # noqa: ASYNC110 -- the broker has no event for it
            await asyncio.sleep(0.02)


async def test_an_idle_consumer_notices_a_half_open_connection(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle queue and a lost broker look the same, so the consumer must ask."""
    monkeypatch.setattr(queue_module, "PROBE_AFTER", 0.0)
    async with relayed(rabbitmq_url) as relay:
        queue = RabbitMQDeliveryQueue(relay.url, prefetch=3)
        assert await queue.receive(within=0) is None
        relay.freeze()

        with monkeypatch.context() as short:
            short.setattr(queue_module, "CALL_TIMEOUT", 0.5)
            async with asyncio.timeout(60):
                with pytest.raises(Unavailable, match="no answer within"):
                    await queue.receive(within=0)

        relay.thaw()
        assert await queue.receive(within=0) is None
        await queue.close()


async def test_an_idle_consumer_notices_that_its_queue_is_gone(
    queue: RabbitMQDeliveryQueue, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node may have been disconnected when the broker cancelled the consumer."""
    assert await queue.receive(within=0) is None
    async with channel_to(rabbitmq_url) as channel:
        await channel.queue_delete("heyday.delivery")

    with pytest.raises(Emptied):
        await queue.receive(within=60)

    assert await queue.receive(within=0) is None


async def test_a_connection_closed_by_the_broker_is_an_outage_for_all_in_flight(
    queue: RabbitMQDeliveryQueue, rabbitmq_url: str
) -> None:
    """All publishes under way must fail in time, and none as if cancelled."""
    async with relayed(rabbitmq_url) as relay:
        through_relay = RabbitMQDeliveryQueue(relay.url, prefetch=3, confirm_within=5)
        await through_relay.open()
        relay.freeze()
        publishing = [asyncio.ensure_future(through_relay.publish([bundle()] * 10)) for _ in range(3)]
        await asyncio.sleep(0.05)

    results = await asyncio.gather(*publishing, return_exceptions=True)

    assert [type(result) for result in results] == [Unavailable] * 3
    await through_relay.close()


async def test_a_cancellation_that_is_not_ours_is_an_outage() -> None:
    """The library cancels waits on a closed channel, and an actor must not take that for its own end."""
    with pytest.raises(Unavailable, match="the channel was closed"):
        async with translating(within=5):
            raise asyncio.CancelledError


async def test_our_own_cancellation_stays_one() -> None:
    """Stopping an actor must not look like an outage."""
    entered = asyncio.Event()

    async def wait() -> None:
        async with translating(within=30):
            entered.set()
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(wait())
    await entered.wait()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_cancelled_connect_leaves_nothing_behind(rabbitmq_url: str) -> None:
    """A node that is stopped while it connects must stop, and be able to connect after a restart."""
    async with relayed(rabbitmq_url) as relay:
        relay.freeze()
        link = Link(relay.url, name="test")

        async def use() -> None:
            async with link.channel(within=1):
                pass

        connecting = asyncio.ensure_future(use())
        await asyncio.sleep(0.05)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

        relay.thaw()
        await use()
        await link.close()
