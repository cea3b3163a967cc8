"""Delayed greetings do not exceed the rate of the email service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from actors.context import NodeContext
from actors.delivery.permits import Permits
from actors.delivery.result_writer import Record
from actors.delivery.sender import CLAIM_AHEAD, Deliver, Sender
from actors.delivery.turns import SpareTurns, Turns
from actors.runtime import Actor, Address, ChildSpec, Context, Supervisor
from service.domain.messages import EmailServiceName, Status
from service.ports import Claims, Delivery
from tests.actors.contexts import only_service
from tests.actors.due import queued_messages
from tests.fakes.coordination import FakeAcceptedKeys, FakeRateLimit
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth


class SlowMessages(FakeMessages):
    """Answers a claim for sending after this many seconds."""

    def __init__(self, truth: Truth, after: float) -> None:
        super().__init__(truth)
        self.after = after

    async def claim_for_sending(self, ids: Sequence[UUID], **options: Any) -> Claims:
        await asyncio.sleep(self.after)
        return await super().claim_for_sending(ids, **options)


class Rate(FakeRateLimit):
    """Slots that are free at once. A greeting that misses its slot gets another one after `later` seconds."""

    def __init__(self, memory: RedisMemory, later: float, *, grace: float = 0.05) -> None:
        super().__init__(memory, None)
        self.memory = memory
        self.later = later
        self.late_by = grace
        self.reserved: list[int] = []

    @property
    def grace(self) -> float:
        return self.late_by

    async def reserve(self, count: int, **_bounds: float) -> list[float]:
        self.reserved.append(count)
        return [0.0 if len(self.reserved) == 1 else self.later] * count


class Books(Actor[Any]):
    """Records the results, and signals when all of them have arrived."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.records: list[Record] = []
        self.complete = asyncio.Event()

    async def start(self, ctx: Context[Any]) -> None:
        pass

    async def receive(self, message: Any) -> None:
        self.records.append(message)
        self.left -= 1
        if not self.left:
            self.complete.set()


async def delivered(
    context: NodeContext,
    truth: Truth,
    rate: Rate,
    *,
    claimed_after: float,
    bundles: Sequence[Sequence[UUID]] = (),
    permits: Permits | None = None,
) -> list[Record]:
    """Deliver a bundle of three greetings, or `bundles` with as many, and return their results."""
    # A bundle of which nothing can be claimed is acknowledged.
    books = Books(3 + max(0, len(bundles) - 1))
    result_writer: Address[Any] = Address("result_writer", capacity=10)
    sender: Address[Deliver] = Address("sender", capacity=1)

    def make() -> Sender:
        return Sender(
            context,
            SlowMessages(truth, claimed_after),
            FakeAcceptedKeys(rate.memory, late_limit=timedelta(hours=48)),
            only_service(rate=rate),
            result_writer,
            permits={EmailServiceName.PRIMARY: permits or Permits(10)},
        )

    children = [ChildSpec("result_writer", lambda: books, result_writer), ChildSpec("sender", make, sender)]
    stage = Supervisor("stage", children)
    await stage.start()
    for ids in bundles or [queued_messages(truth, 3)]:
        await sender.tell(Deliver(Delivery(tuple(ids), "receipt")))
    async with asyncio.timeout(10):
        await books.complete.wait()
    await stage.drain(5)
    return books.records


async def test_messages_that_are_delivered_again_use_up_no_turns(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """After a restart of RabbitMQ, all that was sent and not acknowledged comes again, before what is still to send."""
    rate = Rate(memory, later=1e6, grace=60.0)
    permits = Permits(10)
    ids = queued_messages(truth, 3)
    again = tuple(UUID(int=number) for number in range(3))

    records = await delivered(context, truth, rate, claimed_after=0.0, bundles=[again, ids], permits=permits)

    # Turns for messages that are not sent would have delayed the greetings of other messages.
    assert rate.reserved == [3]
    assert [record.result.status for record in records if isinstance(record, Record)] == [Status.SENT] * 3


def test_spare_turns_are_those_to_come_of_the_present_epoch() -> None:
    """A turn that has passed would add to the calls of now, and one of a higher rate is void."""
    spare = SpareTurns()
    spare.put(Turns(EmailServiceName.PRIMARY, 1, [1.0, 5.0]))
    spare.put(Turns(EmailServiceName.PRIMARY, 1, [4.0, 6.0]))

    assert spare.take(2, epoch=1, not_before=2.0) == [4.0, 5.0]
    assert spare.take(2, epoch=1, not_before=2.0) == [6.0]
    spare.put(Turns(EmailServiceName.PRIMARY, 1, [7.0]))
    assert spare.take(2, epoch=2, not_before=2.0) == []
    spare.put(Turns(EmailServiceName.PRIMARY, 2, [8.0]))
    assert spare.take(2, epoch=2, not_before=2.0) == [8.0]


async def test_greetings_that_missed_their_turns_take_others(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """A slow claim delays them. Sent together, they would add to the greetings whose slots are then."""
    rate = Rate(memory, later=0.01)

    records = await delivered(context, truth, rate, claimed_after=2 * rate.grace)

    assert rate.reserved == [3, 1, 1, 1]
    assert [record.result.status for record in records] == [Status.SENT] * 3


async def test_a_greeting_whose_other_turn_is_far_away_is_given_back(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """A node that drains meanwhile must not leave an unknown outcome. No attempt is spent."""
    rate = Rate(memory, later=2 * CLAIM_AHEAD)

    records = await delivered(context, truth, rate, claimed_after=2 * rate.grace)

    assert [(record.result.status, record.result.answer) for record in records] == [(Status.RETRYING, None)] * 3
    # Its slot serves the next one. Messages that each reserve one, and drop it, would push the next slot away for ever.
    assert rate.reserved == [3, 1]


async def test_greetings_in_time_take_no_other_turns(context: NodeContext, truth: Truth, memory: RedisMemory) -> None:
    """A second slot would waste part of the rate."""
    rate = Rate(memory, later=1e6, grace=60.0)

    records = await delivered(context, truth, rate, claimed_after=0.0)

    assert rate.reserved == [3]
    assert [record.result.status for record in records] == [Status.SENT] * 3
