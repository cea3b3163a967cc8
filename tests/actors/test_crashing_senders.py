"""A sender that crashes over a bundle leaves nothing behind that would hold up others."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from actors.delivery.recorder import Acknowledge
from actors.delivery.sender import Deliver, Sender
from actors.delivery.wire import Wire
from actors.facts import nobody
from actors.lease import Lease
from actors.runtime import Address, Backoff, ChildSpec, Supervisor
from service.domain.retry import RetryPolicy
from service.outages import Outages
from service.ports import Delivery
from service.telemetry.metrics import Metrics
from tests.actors.test_turns import Books, Email, Rate, Rows
from tests.service.steady import Steady


class BrokenKeys:
    """Raises what no adapter raises, as a bug would."""

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> Collection[UUID]:
        raise RuntimeError("a bug")


async def test_a_sender_that_crashes_leaves_neither_its_delivery_nor_its_claims_behind() -> None:
    """A bundle that went down with its sender, and is never acknowledged, would take the place of others in the
    prefetch for ever; so would its claims, of which a node has so many."""
    steady = Steady()
    lease = Lease(steady)
    lease.renew(7, steady.at)
    books, wire = Books(5), Wire(10)
    recorder: Address[Any] = Address("recorder", capacity=10)
    sender: Address[Deliver] = Address("sender", capacity=1)
    parts: tuple[Any, Any, Any, Any] = (Rows(0.0), BrokenKeys(), Email(), Rate(later=0.0))
    policy = RetryPolicy(attempts=3, base=timedelta(seconds=1), limit=timedelta(seconds=1), hold=False)
    common: dict[str, Any] = {"lease": lease, "outages": Outages(), "metrics": Metrics(), "witness": nobody}
    stage = Supervisor(
        "stage",
        [
            ChildSpec("recorder", lambda: books, recorder),
            ChildSpec("sender", lambda: Sender(*parts, recorder, policy=policy, wire=wire, **common), sender),
        ],
        backoff=Backoff(random=lambda: 0.0),
    )
    deliveries = [Delivery(tuple(uuid4() for _ in range(10)), f"receipt {number}") for number in range(5)]

    await stage.start()
    async with asyncio.timeout(30):
        for delivery in deliveries:
            await sender.tell(Deliver(delivery))
        await books.complete.wait()
        await wire.reserve(wire.most)
    await stage.drain(5)

    told: list[object] = [*books.records]
    assert told == [Acknowledge(delivery) for delivery in deliveries]
