"""A sender that crashes while it handles a bundle keeps neither claims nor prefetch slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from actors.context import NodeContext
from actors.delivery.permits import Permits
from actors.delivery.result_writer import Acknowledge
from actors.delivery.sender import Deliver, Sender
from actors.runtime import Address, AnyChild, Backoff, ChildSpec, Event, Restarting, Supervisor
from service.domain.messages import Answer, EmailServiceName, Outcome
from service.ports import Claims, Delivery, Greeting, Unavailable
from tests.actors.contexts import AcceptingEmailService, only_service
from tests.actors.delivery.test_rate import Books
from tests.actors.due import queued_messages
from tests.fakes.coordination import FakeAcceptedKeys
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth


def staged(
    context: NodeContext,
    messages: FakeMessages,
    keys: FakeAcceptedKeys,
    books: Books,
    *,
    service: AcceptingEmailService | None = None,
    permits: Permits | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> tuple[Supervisor, Address[Deliver]]:
    """A sender under a supervisor that restarts it at once. `books` are in the place of its result writer."""
    result_writer: Address[Any] = Address("result_writer", capacity=10)
    sender: Address[Deliver] = Address("sender", capacity=1)
    shared = {EmailServiceName.PRIMARY: permits or Permits(10)}

    def make() -> Sender:
        return Sender(context, messages, keys, only_service(service), result_writer, permits=shared)

    children: list[AnyChild] = [
        ChildSpec("result_writer", lambda: books, result_writer),
        ChildSpec("sender", make, sender),
    ]
    return Supervisor("stage", children, backoff=Backoff(random=lambda: 0.0), on_event=on_event), sender


class BrokenKeys(FakeAcceptedKeys):
    """Raises an error that no adapter raises, like a bug."""

    async def accepted(self, messages: Sequence[UUID]) -> set[UUID]:
        raise RuntimeError("a bug")


async def test_a_sender_that_crashes_leaves_neither_its_delivery_nor_its_claims_behind(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """An unacknowledged bundle keeps its prefetch slot for ever, and kept claims use up the node's limit."""
    books, permits = Books(5), Permits(10)
    keys = BrokenKeys(memory, late_limit=timedelta(hours=48))
    stage, sender = staged(context, FakeMessages(truth), keys, books, permits=permits)
    ids = queued_messages(truth, 50)
    deliveries = [Delivery(tuple(ids[start : start + 10]), f"receipt {start}") for start in range(0, 50, 10)]

    await stage.start()
    async with asyncio.timeout(30):
        for delivery in deliveries:
            await sender.tell(Deliver(delivery))
        await books.complete.wait()
        async with permits.claims(permits.most_claims):
            pass
    await stage.drain(5)

    told: list[object] = [*books.records]
    assert told == [Acknowledge(delivery) for delivery in deliveries]


class AwayThenBroken(FakeMessages):
    """Is away at the first claim, and raises an error like a bug at the second."""

    claims = 0

    async def claim_for_sending(self, ids: Sequence[UUID], **options: Any) -> Claims:
        self.claims += 1
        raise Unavailable("postgres", "away") if self.claims == 1 else RuntimeError("a bug")


async def test_a_sender_that_crashes_while_it_waits_for_a_server_waits_no_longer(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """The next instance may get no bundle all night, and the node would be not ready for as long."""
    messages, restarted = AwayThenBroken(truth), asyncio.Event()
    stage, sender = staged(
        context,
        messages,
        FakeAcceptedKeys(memory, late_limit=timedelta(hours=48)),
        Books(1),
        on_event=lambda event: restarted.set() if isinstance(event, Restarting) else None,
    )
    await stage.start()
    async with asyncio.timeout(30):
        await sender.tell(Deliver(Delivery(tuple(queued_messages(truth, 1)), "receipt")))
        await restarted.wait()
    waiting_for = context.outages.current()
    await stage.drain(5)

    assert messages.claims == 2
    assert waiting_for == []


class CancelledService(AcceptingEmailService):
    """Awaits something that another task cancels, as a library may."""

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        lost: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lost.cancel()
        return await lost


async def test_an_attempt_that_is_cancelled_from_within_is_recorded_as_unknown(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """Else the message would stay `sending` for as long as its node lives."""
    books, keys = Books(1), FakeAcceptedKeys(memory, late_limit=timedelta(hours=48))
    stage, sender = staged(context, FakeMessages(truth), keys, books, service=CancelledService())
    await stage.start()
    async with asyncio.timeout(30):
        await sender.tell(Deliver(Delivery(tuple(queued_messages(truth, 1)), "receipt")))
        await books.complete.wait()
    await stage.drain(5)

    assert [answer.outcome for record in books.records if (answer := record.result.answer)] == [Outcome.UNKNOWN]
