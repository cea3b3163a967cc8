"""Outcomes survive a crash of the actor that writes them, and wait for no queue that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from actors.context import NodeContext
from actors.delivery.result_writer import InFlightDelivery, Record, ResultWriter, UnwrittenResults
from actors.runtime import Address
from service.domain.messages import Answer, Outcome, Status
from service.ports import Delivery, Recorded, Result
from tests.actors.contexts import INCARNATION, alone
from tests.actors.due import queued_messages
from tests.fakes.broker import Broker
from tests.fakes.coordination import FakeAcceptedKeys
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth
from tests.node.harness import eventually


class Bug:
    """Raises an error that no adapter raises, three times."""

    def __init__(self) -> None:
        self.crashes = 0

    def __call__(self) -> None:
        if self.crashes < 3:
            self.crashes += 1
            raise RuntimeError("a bug")


class BrokenMessages(FakeMessages):
    """Has the bug in `record`."""

    def __init__(self, truth: Truth, bug: Bug) -> None:
        super().__init__(truth)
        self.bug = bug

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        self.bug()
        return await super().record(results, at=at)


class BrokenKeys(FakeAcceptedKeys):
    """Has the bug in `remember`."""

    def __init__(self, memory: RedisMemory, bug: Bug) -> None:
        super().__init__(memory, late_limit=timedelta(hours=48))
        self.bug = bug

    async def remember(self, messages: Sequence[UUID]) -> None:
        self.bug()
        await super().remember(messages)


class HangingQueue(FakeDeliveryQueue):
    """Answers no acknowledgement until it is told to."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, prefetch=2)
        self.answers = asyncio.Event()

    async def acknowledge(self, delivery: Delivery) -> None:
        await self.answers.wait()
        await super().acknowledge(delivery)


class AcknowledgedQueue(FakeDeliveryQueue):
    """Signals the first acknowledgement."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, prefetch=1)
        self.acknowledged = asyncio.Event()

    async def acknowledge(self, delivery: Delivery) -> None:
        await super().acknowledge(delivery)
        self.acknowledged.set()


@pytest.mark.parametrize("broken", ["remember", "record"])
async def test_results_are_written_by_the_instance_after_the_one_that_crashed(
    context: NodeContext, truth: Truth, memory: RedisMemory, broker: Broker, broken: str
) -> None:
    """Otherwise a hundred accepted messages stay `sending` and their outcomes are lost."""
    bug = Bug()
    messages = BrokenMessages(truth, bug) if broken == "record" else FakeMessages(truth)
    late_limit = timedelta(hours=48)
    keys = BrokenKeys(memory, bug) if broken == "remember" else FakeAcceptedKeys(memory, late_limit=late_limit)
    queue = AcknowledgedQueue(broker)
    ids = queued_messages(truth, 100)
    await queue.publish([ids])
    delivery = await queue.receive(within=1)
    assert delivery is not None
    claims = await messages.claim_for_sending(ids, incarnation=INCARNATION)
    in_flight = InFlightDelivery(delivery, len(claims), "sender")
    unwritten = UnwrittenResults()
    address: Address[Any] = Address("result_writer", capacity=200)
    stage = alone(
        lambda: ResultWriter(context, messages, keys, queue, unwritten=unwritten, on_failed=lambda: None), address
    )

    await stage.start()
    async with asyncio.timeout(30):
        for one in claims:
            result = Result(one.claim, Status.SENT, Answer(Outcome.ACCEPTED, 0.1), began=0.0)
            await address.tell(Record(one, result, in_flight))
        await queue.acknowledged.wait()
    await stage.drain(5)

    assert bug.crashes == 3
    assert {row.status for row in truth.messages.values()} == {Status.SENT}
    assert sorted(one.message_id for one in truth.attempts.values()) == sorted(ids)
    assert await keys.accepted(ids) == set(ids)
    assert unwritten == UnwrittenResults()


async def test_outcomes_do_not_wait_for_a_queue_that_hangs(
    context: NodeContext, truth: Truth, memory: RedisMemory, broker: Broker
) -> None:
    """PostgreSQL takes them. A node that ends meanwhile would leave accepted messages in `sending`."""
    messages, queue = FakeMessages(truth), HangingQueue(broker)
    ids = queued_messages(truth, 2)
    await queue.publish([[message] for message in ids])
    address: Address[Any] = Address("result_writer", capacity=200)
    keys = FakeAcceptedKeys(memory, late_limit=timedelta(hours=48))
    unwritten = UnwrittenResults()
    stage = alone(
        lambda: ResultWriter(context, messages, keys, queue, unwritten=unwritten, on_failed=lambda: None), address
    )
    await stage.start()

    for message in ids:
        delivery = await queue.receive(within=1)
        assert delivery is not None
        [one] = await messages.claim_for_sending([message], incarnation=INCARNATION)
        result = Result(one.claim, Status.SENT, Answer(Outcome.ACCEPTED, 0.1), began=0.0)
        await address.tell(Record(one, result, InFlightDelivery(delivery, 1, "sender")))

        async def is_sent(message: UUID = message) -> bool:
            return truth.messages[message].status is Status.SENT

        await eventually(is_sent)

    assert sum(len(consumer.unacknowledged) for consumer in broker.consumers) == 2
    queue.answers.set()
    await stage.drain(5)
    assert not any(consumer.unacknowledged for consumer in broker.consumers)
