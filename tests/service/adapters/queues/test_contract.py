"""The contract of delivery queues, tested with RabbitMQ, Redis streams and the fake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from actors.commands.sandbox.servers.relay import relayed
from service.adapters.rabbitmq import queue as rabbitmq_queue
from service.domain.bundles import encode
from service.ports import Delivery, DeliveryQueue, Emptied, QueueDepth, Unavailable
from tests.servers import Servers
from tests.service.adapters.queues.conftest import ON_SERVERS, PREFETCH, Broker, Nodes

T = TypeVar("T")


def bundle(size: int = 3) -> tuple[UUID, ...]:
    return tuple(uuid4() for _ in range(size))


async def receive(queue: DeliveryQueue) -> Delivery:
    """Return the next delivery, which must be there."""
    delivery = await queue.receive(within=10)
    assert delivery is not None
    return delivery


async def test_bundles_arrive_whole_and_in_order(nodes: Nodes) -> None:
    """Greetings leave oldest first only if every hop keeps the order. A torn bundle would lose greetings."""
    queue = await nodes.start("a")
    bundles = [bundle(size) for size in (1, 50, 2, 1000, 3)]

    await queue.publish(bundles)

    assert [(await receive(queue)).ids for _ in bundles] == bundles


async def test_a_bundle_tells_of_the_trace_of_its_publisher_also_after_it_was_given_back(nodes: Nodes) -> None:
    """Otherwise the trace of a greeting ends at the queue."""
    queue = await nodes.start("a")
    traceparent = f"00-{7:032x}-{8:016x}-01"
    await queue.publish([bundle(), bundle()], traceparent=traceparent)
    await queue.publish([bundle()])

    first = await receive(queue)
    await queue.pause()
    others = [await receive(queue) for _ in range(2)]

    assert [one.traceparent for one in [first, *others]] == [traceparent, traceparent, None]


async def test_what_is_acknowledged_does_not_come_back(nodes: Nodes) -> None:
    """An acknowledged bundle is deleted."""
    queue = await nodes.start("a")
    await queue.publish([bundle(), bundle()])
    for _ in range(2):
        await queue.acknowledge(await receive(queue))
    await queue.close()

    again = await nodes.start("a")

    assert await again.receive(within=0.1) is None
    assert (await again.depth()).ready == 0


async def test_what_is_not_acknowledged_comes_back_first(nodes: Nodes) -> None:
    """A node that dies before it records must lose no greeting."""
    queue = await nodes.start("a")
    first, second, third = bundle(), bundle(), bundle()
    await queue.publish([first, second, third])
    received = await receive(queue)
    await queue.acknowledge(await receive(queue))
    await queue.close()

    again = await nodes.start("a")

    assert received.ids == first
    assert [(await receive(again)).ids for _ in range(2)] == [first, third]


async def test_what_comes_back_goes_before_what_was_not_taken(nodes: Nodes) -> None:
    """It was due earlier."""
    queue = await nodes.start("a")
    bundles = [bundle() for _ in range(PREFETCH + 3)]
    await queue.publish(bundles)
    await receive(queue)
    await queue.close()

    again = await nodes.start("a")

    received = []
    for _ in bundles:
        delivery = await receive(again)
        received.append(delivery.ids)
        await again.acknowledge(delivery)
    assert received == bundles


async def test_an_empty_queue_answers_in_time(nodes: Nodes) -> None:
    """The consumer has other work than to wait."""
    queue = await nodes.start("a")
    await queue.receive(within=0)

    async with asyncio.timeout(60):
        assert await queue.receive(within=0) is None
        assert await queue.receive(within=0.05) is None


async def test_a_waiting_receiver_gets_what_is_published(nodes: Nodes) -> None:
    """A due greeting does not wait for the next poll."""
    queue, publisher = await nodes.start("a"), await nodes.start("b")
    wanted = bundle()
    receiving = asyncio.ensure_future(receive(queue))
    await asyncio.sleep(0)

    await publisher.publish([wanted])

    assert (await receiving).ids == wanted


async def test_nodes_share_the_bundles(nodes: Nodes) -> None:
    """Each bundle goes to one node, so more nodes send more."""
    queues = [await nodes.start(name) for name in "abc"]
    bundles = [bundle() for _ in range(60)]
    await queues[0].publish(bundles)
    # Each node has one before any gives one up: a node that starts to consume late finds the queue empty otherwise.
    deliveries = await asyncio.gather(*(receive(queue) for queue in queues))
    received = [delivery.ids for delivery in deliveries]

    async def deliver(queue: DeliveryQueue, delivery: Delivery | None) -> None:
        while len(received) < len(bundles):
            if delivery is not None:
                await queue.acknowledge(delivery)
            delivery = await queue.receive(within=0.5)
            if delivery is not None:
                received.append(delivery.ids)

    await asyncio.gather(*map(deliver, queues, deliveries))

    assert sorted(received) == sorted(bundles)


async def test_several_receivers_of_one_node_share_too(nodes: Nodes) -> None:
    """Several actors of a node may receive from one queue."""
    queue = await nodes.start("a")
    bundles = [bundle() for _ in range(PREFETCH)]
    await queue.publish(bundles)

    deliveries = await asyncio.gather(*(receive(queue) for _ in bundles))

    assert sorted(delivery.ids for delivery in deliveries) == sorted(bundles)


async def test_what_a_dead_node_had_taken_goes_to_another(nodes: Nodes) -> None:
    """Recovery after the death of a node must not wait for its restart."""
    dead, living = await nodes.start("dead"), await nodes.start("a")
    wanted = bundle()
    await dead.publish([wanted])
    await receive(dead)
    await dead.close()

    await living.requeue_abandoned(living={"a"})

    assert (await receive(living)).ids == wanted


@pytest.mark.parametrize("body", [b"", b"not ids", b"\xff\x00", encode(bundle())[:-1], b"x" * 100_000])
async def test_malformed_bundles_go_to_the_dead_letters(body: bytes, nodes: Nodes, broker: Broker) -> None:
    """An unreadable bundle must not block the queue or return for ever, and an operator may want to read it."""
    queue = await nodes.start("a")
    wanted = bundle()
    await broker.put(body)
    await queue.publish([wanted])

    delivery = await receive(queue)

    assert delivery.ids == wanted
    await queue.acknowledge(delivery)
    await until(lambda: queue.depth(), lambda depth: (depth.ready, depth.dead) == (0, 1))
    [dead] = await broker.dead()
    assert dead.decode("utf-8", "backslashreplace") == body.decode("utf-8", "backslashreplace")


async def test_each_failed_message_is_one_dead_letter(nodes: Nodes, broker: Broker) -> None:
    """The number of dead letters is then the number of failed messages."""
    queue = await nodes.start("a")
    ids = bundle(5)

    await queue.dead_letter(ids)

    await until(lambda: queue.depth(), lambda depth: depth.dead == 5)
    assert sorted(await broker.dead()) == sorted(str(message).encode() for message in ids)


async def test_empty_batches_are_accepted(nodes: Nodes) -> None:
    """An empty batch is not an error."""
    queue = await nodes.start("a")

    await queue.publish([])
    await queue.dead_letter([])

    assert (await queue.depth()).dead == 0


async def test_the_depth_counts_what_is_ready(nodes: Nodes) -> None:
    """`queue_depth_total` and the back-pressure of the ticker use it."""
    queue = await nodes.start("a")
    assert (await queue.depth()).ready == 0

    await queue.publish([bundle() for _ in range(4)])

    await until(lambda: queue.depth(), lambda depth: depth == QueueDepth(4, depth.unacknowledged, 0))


async def test_pausing_gives_back_what_was_not_received(nodes: Nodes) -> None:
    """While the circuit is open, other nodes can take the bundles. Work under way can still be acknowledged."""
    queue, other = await nodes.start("a"), await nodes.start("b")
    bundles = [bundle() for _ in range(5)]
    await queue.publish(bundles)
    mine = await receive(queue)

    await queue.pause()

    theirs = [(await receive(other)) for _ in range(4)]
    assert sorted([mine.ids, *(delivery.ids for delivery in theirs)]) == sorted(bundles)
    await queue.acknowledge(mine)
    await queue.pause()
    for delivery in theirs:
        await other.acknowledge(delivery)
    await queue.close()
    await other.close()
    assert await (await nodes.start("a")).receive(within=0.1) is None


async def test_a_paused_queue_receives_again(nodes: Nodes) -> None:
    """A pause ends with the next receive."""
    queue = await nodes.start("a")
    await queue.publish([bundle()])
    await queue.acknowledge(await receive(queue))
    await queue.pause()
    wanted = bundle()
    await queue.publish([wanted])

    assert (await receive(queue)).ids == wanted


async def test_a_cancelled_receive_loses_nothing(nodes: Nodes) -> None:
    """A draining actor may be cancelled at the moment at which a bundle arrives."""
    queue = await nodes.start("a")
    cancelled = 0
    for turns in range(0, 60, 4):
        receiving = asyncio.ensure_future(queue.receive(within=10))
        await asyncio.sleep(0)
        wanted = bundle()
        publishing = asyncio.ensure_future(queue.publish([wanted]))
        for _ in range(turns):
            await asyncio.sleep(0)

        receiving.cancel()

        await publishing
        try:
            delivery = await receiving
        except asyncio.CancelledError:
            delivery = await receive(queue)
            cancelled += 1
        assert delivery is not None
        assert delivery.ids == wanted
        await queue.acknowledge(delivery)
    assert cancelled


async def test_an_emptied_queue_works_on(nodes: Nodes, broker: Broker) -> None:
    """An operator may purge it at any moment."""
    queue = await nodes.start("a")
    await queue.publish([bundle() for _ in range(3)])
    await broker.purge()
    wanted = bundle()
    await queue.publish([wanted])

    assert (await receive(queue)).ids == wanted


async def test_a_queue_deleted_under_its_consumer_is_reported_and_made_again(nodes: Nodes, broker: Broker) -> None:
    """The node must publish the queue's work again from the rows."""
    queue = await nodes.start("a")
    await queue.receive(within=0)
    receiving = asyncio.ensure_future(queue.receive(within=10))
    await asyncio.sleep(0.05)

    await broker.delete()

    with pytest.raises(Emptied):
        await receiving
    wanted = bundle()
    await queue.publish([wanted])
    assert (await receive(queue)).ids == wanted


async def test_a_receipt_from_before_a_deletion_is_ignored(nodes: Nodes, broker: Broker) -> None:
    """The work was done, so this is no error."""
    queue = await nodes.start("a")
    await queue.publish([bundle()])
    delivery = await receive(queue)
    await broker.delete()
    with pytest.raises(Emptied):
        await queue.receive(within=60)

    await queue.acknowledge(delivery)


async def test_a_queue_deleted_while_paused_is_reported(nodes: Nodes, broker: Broker) -> None:
    """While the circuit is open, no consumer is there to be cancelled."""
    queue = await nodes.start("a")
    await queue.publish([bundle()])
    await queue.acknowledge(await receive(queue))
    await queue.pause()
    await broker.delete()

    told = await what_is_told(queue)

    assert told in (["Emptied"], ["Unavailable", "Emptied"])
    wanted = bundle()
    await queue.publish([wanted])
    assert (await receive(queue)).ids == wanted


async def test_a_queue_deleted_before_a_publish_is_reported(nodes: Nodes, broker: Broker) -> None:
    """The node that creates it again must publish its work again."""
    queue = await nodes.start("a")
    await broker.delete()
    wanted = bundle()
    await queue.publish([wanted])

    with pytest.raises(Emptied):
        await queue.receive(within=60)
    assert (await receive(queue)).ids == wanted


@ON_SERVERS
async def test_it_works_again_after_its_server_was_killed(nodes: Nodes, broker: Broker, servers: Servers) -> None:
    """Meanwhile every call raises Unavailable in time. Nothing has to be restarted."""
    queue = await nodes.start("a")
    await queue.publish([bundle()])
    delivery = await receive(queue)
    receiving = asyncio.ensure_future(queue.receive(within=30))
    await broker.settle()

    await broker.server(servers).kill()

    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await receiving
        for call in outages(queue):
            with pytest.raises(Unavailable):
                await call()
        await queue.acknowledge(delivery)
        await queue.pause()
    await broker.server(servers).start()
    wanted = bundle()
    await works_again(lambda: queue.publish([wanted]))
    received: list[tuple[UUID, ...]] = []
    while wanted not in received:
        received.append((await works_again(lambda: receive(queue))).ids)


@ON_SERVERS
async def test_every_call_returns_while_the_server_is_silent(
    nodes: Nodes, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process leaves connections half open, so only heyday's own deadlines end the wait."""
    monkeypatch.setattr(rabbitmq_queue, "CALL_TIMEOUT", 1.0)
    async with relayed(broker.url) as relay:
        queue = await nodes.start("a", url=relay.url)
        await queue.publish([bundle()])
        delivery = await receive(queue)

        relay.freeze()

        async with asyncio.timeout(60):
            results = await asyncio.gather(
                *(call() for call in outages(queue)), queue.acknowledge(delivery), return_exceptions=True
            )
            await queue.pause()
        # RabbitMQ's consumer gets nothing, which is not yet a sign of a fault.
        quiet = [None, None] if is_rabbitmq(nodes) else [None]
        assert [result for result in results if not isinstance(result, Unavailable)] == quiet
        relay.thaw()
        wanted = bundle()
        await works_again(lambda: queue.publish([wanted]))
        while (await works_again(lambda: receive(queue))).ids != wanted:
            pass
        await queue.close()
        await nodes.close()


@ON_SERVERS
async def test_a_refused_connection_is_an_outage(nodes: Nodes) -> None:
    """A node may start before its servers do."""
    nowhere = nodes.unopened("a", url="amqp://127.0.0.1:1/" if is_rabbitmq(nodes) else "redis://127.0.0.1:1/0")

    for call in [nowhere.open, *outages(nowhere)]:
        with pytest.raises(Unavailable):
            await call()
    await nowhere.pause()
    await nowhere.close()


async def what_is_told(queue: DeliveryQueue) -> list[str]:
    """Call `receive` until it raises nothing more, and return the raised errors."""
    told = []
    async with asyncio.timeout(60):
        while True:
            try:
                assert await queue.receive(within=0) is None
            except (Unavailable, Emptied) as error:
                told.append(type(error).__name__)
            else:
                return told


def outages(queue: DeliveryQueue) -> list[Callable[[], Awaitable[object]]]:
    """Return the calls that raise Unavailable without the server."""
    return [
        lambda: queue.publish([bundle()]),
        lambda: queue.receive(within=0.1),
        lambda: queue.dead_letter(bundle()),
        lambda: queue.depth(),
    ]


def is_rabbitmq(nodes: Nodes) -> bool:
    return nodes._broker.url.startswith("amqp")


async def works_again(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat the calls as the actors do, until the server is back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except (Unavailable, Emptied):
                await asyncio.sleep(0.2)


async def until(ask: Callable[[], Awaitable[T]], is_wanted: Callable[[T], bool]) -> None:
    """Repeat until the broker, whose figures are slightly late, answers with this value."""
    async with asyncio.timeout(60):
        while not is_wanted(await ask()):  # noqa: ASYNC110 -- no broker has an event for it
            await asyncio.sleep(0.05)
