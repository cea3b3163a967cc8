"""A large bundle is claimed in parts, one ahead of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from actors.context import NodeContext
from actors.delivery.permits import Permits
from actors.delivery.sender import Deliver, Sender
from actors.runtime import Address, ChildSpec, Supervisor
from service.domain.messages import Answer, EmailServiceName
from service.ports import Claims, Delivery, Greeting
from tests.actors.contexts import AcceptingEmailService, only_service
from tests.actors.delivery.test_rate import Books
from tests.actors.due import queued_messages
from tests.fakes.coordination import FakeAcceptedKeys
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth


class HangingService(AcceptingEmailService):
    """Answers no call before `answering` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        await self.answering.wait()
        return await super().send(greeting, last_attempt=last_attempt, wait=wait)


class CountedClaims(FakeMessages):
    """Notes the size of each claim for sending, and signals when there are `count`."""

    def __init__(self, truth: Truth, count: int) -> None:
        super().__init__(truth)
        self.count = count
        self.sizes: list[int] = []
        self.enough = asyncio.Event()

    async def claim_for_sending(self, ids: Sequence[UUID], **options: Any) -> Claims:
        self.sizes.append(len(ids))
        if len(self.sizes) == self.count:
            self.enough.set()
        return await super().claim_for_sending(ids, **options)


async def test_the_next_part_of_a_bundle_is_claimed_while_the_calls_of_the_present_one_hang(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """A claim that waits until every call has ended leaves the email service idle meanwhile."""
    service, messages, books = HangingService(), CountedClaims(truth, 2), Books(10)
    result_writer: Address[Any] = Address("result_writer", capacity=10)
    sender: Address[Deliver] = Address("sender", capacity=1)

    def make() -> Sender:
        return Sender(
            context,
            messages,
            FakeAcceptedKeys(memory, late_limit=timedelta(hours=48)),
            only_service(service),
            result_writer,
            permits={EmailServiceName.PRIMARY: Permits(4)},
        )

    stage = Supervisor(
        "stage", [ChildSpec("result_writer", lambda: books, result_writer), ChildSpec("sender", make, sender)]
    )
    await stage.start()
    async with asyncio.timeout(10):
        await sender.tell(Deliver(Delivery(tuple(queued_messages(truth, 10)), "receipt")))
        await messages.enough.wait()
        while_hanging = list(messages.sizes)
        service.answering.set()
        await books.complete.wait()
    await stage.drain(5)

    assert while_hanging == [4, 4]
    assert messages.sizes == [4, 4, 2]
