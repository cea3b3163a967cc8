"""Actors whose node has lost its lease, or drains: they give back their work, and no caller waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Never
from uuid import UUID, uuid4

import pytest

from actors.context import NodeContext
from actors.delivery.consumer import Consumer
from actors.delivery.permits import Permits
from actors.delivery.result_writer import Acknowledge, Flush, Record
from actors.delivery.sender import Deliver, Sender
from actors.periodic import LeasedActor, Tick
from actors.planner import PlanAgain, Planner, RunDaily
from actors.runtime import Address
from actors.ticker import RunMinute, Ticker
from service.domain.messages import EmailServiceName
from service.ports import Claims, Delivery, Unavailable
from service.ports.names import DUE, PLAN
from tests.actors.contexts import NOW, AcceptingEmailService, alone, node_context, only_service
from tests.fakes.broker import Broker
from tests.fakes.coordination import FakeAcceptedKeys, FakeLocks
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady

PREFETCH = 8


class ClaimedMessages(FakeMessages):
    """Counts the claims for sending. While `away`, every claim raises Unavailable."""

    def __init__(self, truth: Truth, *, away: bool = False) -> None:
        super().__init__(truth)
        self.away = away
        self.claims = 0
        self.claimed = asyncio.Event()

    async def claim_for_sending(self, ids: Sequence[UUID], **options: Any) -> Claims:
        self.claims += 1
        self.claimed.set()
        if self.away:
            raise Unavailable("postgres", "away")
        return await super().claim_for_sending(ids, **options)


class CrashingQueue(FakeDeliveryQueue):
    """Raises a bug on the second `receive`. The first `receive` that finds nothing sets `asked`."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, prefetch=PREFETCH)
        self.received = 0
        self.asked = asyncio.Event()

    async def receive(self, *, within: float) -> Delivery | None:
        self.received += 1
        if self.received == 2:
            raise ValueError("a bug")
        delivery = await super().receive(within=0.01)
        if delivery is None:
            self.asked.set()
        return delivery


class Senders:
    """A sender alone, on these messages."""

    def __init__(self, context: NodeContext, messages: FakeMessages, memory: RedisMemory) -> None:
        self.address: Address[Deliver] = Address("sender", capacity=1)
        self.results: Address[Record | Acknowledge | Flush] = Address("results", capacity=10)
        self.stage = alone(
            lambda: Sender(
                context,
                messages,
                FakeAcceptedKeys(memory, late_limit=timedelta(hours=48)),
                only_service(),
                self.results,
                permits={EmailServiceName.PRIMARY: Permits(1)},
            ),
            self.address,
        )


@pytest.mark.parametrize("lost", ["the lease", "the database"])
async def test_a_sender_that_cannot_claim_leaves_with_its_node(
    context: NodeContext, truth: Truth, memory: RedisMemory, lost: str
) -> None:
    """A drain does not wait for a lease or a server that stays away. Another node gets the delivery."""
    messages = ClaimedMessages(truth, away=lost == "the database")
    if lost == "the lease":
        context.lease.end()
    senders = Senders(context, messages, memory)
    await senders.stage.start()
    await senders.address.tell(Deliver(Delivery((uuid4(),), "receipt")))
    if lost == "the database":
        await messages.claimed.wait()

    report = await senders.stage.drain(10)

    assert report.clean
    assert report.took < 9  # it is cut off after ten
    assert senders.results.depth == 0
    assert (messages.claims > 0) == (lost == "the database")


async def test_a_sender_claims_as_soon_as_its_node_has_a_lease_again(
    context: NodeContext, truth: Truth, memory: RedisMemory, steady: Steady
) -> None:
    """A short loss of the lease loses no delivery."""
    messages = ClaimedMessages(truth)
    context.lease.end()
    senders = Senders(context, messages, memory)
    await senders.stage.start()
    await senders.address.tell(Deliver(Delivery((uuid4(),), "receipt")))

    context.lease.renew(8, steady.at)
    async with asyncio.timeout(60):
        await messages.claimed.wait()
    report = await senders.stage.drain(5)

    assert (report.clean, messages.claims, senders.results.depth) == (True, 1, 1)


def a_consumer(context: NodeContext, queue: FakeDeliveryQueue, senders: Address[Deliver]) -> Consumer:
    return Consumer(context, queue, AcceptingEmailService(), senders, on_emptied=lambda _: None)


async def test_a_restarted_consumer_first_gives_back_what_was_taken_before(
    context: NodeContext, broker: Broker
) -> None:
    """Otherwise a bundle that the first instance lost counts against the prefetch for ever."""
    bundles = [(uuid4(),), (uuid4(),)]
    queue = CrashingQueue(broker)
    await queue.publish(bundles)
    senders: Address[Deliver] = Address("senders", capacity=10)
    stage = alone(lambda: a_consumer(context, queue, senders), Address[Tick]("consumer", capacity=1))

    await stage.start()
    async with asyncio.timeout(60):
        await queue.asked.wait()
    report = await stage.drain(5)

    assert [one.delivery.ids for one in taken(senders)] == [bundles[0], *bundles]
    assert report.clean


async def test_a_consumer_without_a_lease_takes_nothing(context: NodeContext, broker: Broker) -> None:
    """Another node can take the bundle and send it on time."""
    queue, other = FakeDeliveryQueue(broker, prefetch=PREFETCH), FakeDeliveryQueue(broker, prefetch=PREFETCH)
    await queue.publish([(uuid4(),)])
    context.lease.end()
    senders: Address[Deliver] = Address("senders", capacity=10)
    stage = alone(lambda: a_consumer(context, queue, senders), Address[Tick]("consumer", capacity=1))
    await stage.start()

    delivery = await other.receive(within=60)
    await stage.drain(5)

    assert delivery is not None
    assert senders.depth == 0


class QueueAskedAgain(FakeDeliveryQueue):
    """Tells when the consumer asks for another delivery: it is done with the first."""

    def __init__(self, broker: Broker, *, prefetch: int) -> None:
        super().__init__(broker, prefetch=prefetch)
        self.asked_again = asyncio.Event()
        self._asked = False

    async def receive(self, *, within: float) -> Delivery | None:
        if self._asked:
            self.asked_again.set()
        self._asked = True
        return await super().receive(within=within)


async def test_a_consumer_outlives_senders_that_are_not_restarted(context: NodeContext, broker: Broker) -> None:
    """A node that drains restarts no actor: what the last sender leaves goes to another node."""
    queue, other = QueueAskedAgain(broker, prefetch=PREFETCH), FakeDeliveryQueue(broker, prefetch=PREFETCH)
    bundle = (uuid4(),)
    await queue.publish([bundle])
    senders: Address[Deliver] = Address("senders", capacity=10)
    senders.mailbox.seal()
    stage = alone(lambda: a_consumer(context, queue, senders), Address[Tick]("consumer", capacity=1))
    await stage.start()

    async with asyncio.timeout(60):
        await queue.asked_again.wait()
    (consumer,) = stage.view().children
    report = await stage.drain(5)
    await queue.close()
    delivery = await other.receive(within=60)

    assert (report.clean, consumer.restarts, consumer.last_error) == (True, 0, None)
    assert delivery is not None
    assert delivery.ids == bundle


class LapsingClock(Steady):
    """Is read as ten seconds late, once, after `lapse`."""

    late = False

    def __call__(self) -> float:
        late, self.late = self.late, False
        return self.at + 10 * late

    def lapse(self) -> None:
        """Be late at the next reading."""
        self.late = True


class LapsingQueue(FakeDeliveryQueue):
    """The lease of its node lapses as soon as the consumer has received the second bundle."""

    def __init__(self, broker: Broker, clock: LapsingClock) -> None:
        super().__init__(broker, prefetch=PREFETCH)
        self.lapsed = asyncio.Event()
        self._clock = clock
        self._received = 0

    async def receive(self, *, within: float) -> Delivery | None:
        delivery = await super().receive(within=within)
        self._received += delivery is not None
        if delivery is not None and self._received == 2:
            self._clock.lapse()
            self.lapsed.set()
        return delivery


async def test_a_lease_that_lapses_for_a_moment_leaves_no_delivery_behind(broker: Broker) -> None:
    """All senders are busy, so no sender has the delivery. Four such would keep the node from receiving any more."""
    clock = LapsingClock()
    queue, other = LapsingQueue(broker, clock), FakeDeliveryQueue(broker, prefetch=PREFETCH)
    bundles = {(uuid4(),), (uuid4(),)}
    await queue.publish([*bundles])
    senders: Address[Deliver] = Address("senders", capacity=1)
    stage = alone(lambda: a_consumer(node_context(clock), queue, senders), Address[Tick]("consumer", capacity=1))
    await stage.start()

    await queue.lapsed.wait()
    taken_over = {delivery.ids for _ in bundles if (delivery := await other.receive(within=10))}
    await stage.drain(5)

    assert taken_over == bundles


class Idle(LeasedActor[Never]):
    """Does nothing. `passes` is released at each pass without a lease."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node)
        self.passes = asyncio.Semaphore(0)

    async def run_leased(self) -> float:
        return 0.0

    async def without_lease(self) -> None:
        self.passes.release()


async def test_an_actor_without_a_lease_ends_no_outage(context: NodeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL and RabbitMQ stopped together. A node that waits for its lease has not seen RabbitMQ come back."""
    monkeypatch.setattr("actors.periodic.LEASE_WAIT", 0.0)
    monkeypatch.setattr("actors.periodic.FIRST_WAIT", 0.0)
    actor = Idle(context)
    stage = alone(lambda: actor, Address[Tick]("idle", capacity=1))
    context.outages.met("actor", Unavailable("rabbitmq", "connection refused"))
    context.lease.end()

    await stage.start()
    for _ in range(2):
        await actor.passes.acquire()
    outages = context.outages.current()
    await stage.drain(5)

    assert [outage.system for outage in outages] == ["rabbitmq"]


@pytest.mark.parametrize("capacity", [1, 20])
async def test_a_lost_lease_gives_every_bundle_to_another_node(
    context: NodeContext, broker: Broker, steady: Steady, capacity: int
) -> None:
    """Those with the senders, too, and also while the consumer waits for room in their mailbox.

    A node that is cut off from PostgreSQL alone keeps its connection to the broker, which waits for its answers.
    """
    bundles = [(uuid4(),) for _ in range(12)]
    queue, other = FakeDeliveryQueue(broker, prefetch=PREFETCH), FakeDeliveryQueue(broker, prefetch=len(bundles))
    await queue.publish(bundles)
    senders: Address[Deliver] = Address("senders", capacity=capacity)
    stage = alone(lambda: a_consumer(context, queue, senders), Address[Tick]("consumer", capacity=1))
    await stage.start()
    async with asyncio.timeout(60):
        while senders.depth < min(capacity, PREFETCH):  # noqa: ASYNC110 - a mailbox has no event for it
            await asyncio.sleep(0)

    steady.passes(60)  # without a heartbeat
    received = [await other.receive(within=60) for _ in bundles]
    await stage.drain(5)

    assert sorted(one.ids for one in received if one is not None) == sorted(bundles)


def taken(address: Address[Deliver]) -> list[Deliver]:
    """Take the messages out of the mailbox."""
    entries = [address.mailbox.take() for _ in range(address.depth)]
    return [entry for entry in entries if isinstance(entry, Deliver)]


async def test_the_daily_job_by_hand_is_refused_while_the_lease_is_lost(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """The caller gets an error at once, and the planner does not crash."""
    context.lease.end()
    truth.planned_until = NOW - timedelta(days=2)
    address: Address[RunDaily | PlanAgain | Tick] = Address("planner", capacity=4)
    stage = alone(
        lambda: Planner(
            context,
            FakePlanning(truth),
            FakeWorkStream(memory, PLAN, consumer="node"),
            cron="0 0 * * *",
            on_emptied=lambda _: None,
        ),
        address,
    )
    await stage.start()

    for _ in range(2):
        with pytest.raises(Unavailable, match="has no lease"):
            await address.ask(RunDaily, within=60)

    assert stage.view().children[0].restarts == 0
    assert truth.planned_until == NOW - timedelta(days=2)
    await stage.drain(5)


async def test_the_minute_job_by_hand_is_refused_while_the_lease_is_lost(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """Nothing is claimed, and the answer is not "nothing was due"."""
    context.lease.end()
    address: Address[RunMinute | Tick] = Address("ticker", capacity=4)
    stage = alone(
        lambda: Ticker(
            context,
            FakeMessages(truth),
            FakeWorkStream(memory, DUE, consumer="node"),
            FakeLocks(memory, owner="node"),
            AcceptingEmailService(),
            cron="* * * * *",
            late_limit=timedelta(hours=48),
            email_rate=lambda: None,
            on_jump=lambda _: None,
        ),
        address,
    )
    await stage.start()

    with pytest.raises(Unavailable, match="has no lease"):
        await address.ask(RunMinute, within=60)

    assert stage.view().children[0].restarts == 0
    assert memory.locks == {}
    await stage.drain(5)
