"""Greetings keep their turns under the rate of the email service, although something held them up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from actors.delivery.recorder import Record
from actors.delivery.sender import CLAIM_AHEAD, Deliver, Sender
from actors.delivery.wire import Wire
from actors.facts import nobody
from actors.lease import Lease
from actors.runtime import Actor, Address, ChildSpec, Context, Supervisor
from service.domain.messages import Answer, Outcome, Status
from service.domain.retry import RetryPolicy
from service.outages import Outages
from service.ports import Claim, Claimed, Delivery, Greeting
from service.telemetry.metrics import Metrics
from tests.service.steady import Steady

NOW = datetime(2027, 3, 14, 9, tzinfo=UTC)


class Rows:
    """Rows that everybody gets who claims them, after so many seconds."""

    def __init__(self, after: float) -> None:
        self.after = after

    async def claim_for_sending(self, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        await asyncio.sleep(self.after)
        return [
            Claimed(Claim(one, 2027, 1, incarnation), 1, NOW, "birthday", "Ada", "L", "ada@a.test", "Hey")
            for one in ids
        ]


class Rate:
    """Places at once, and for those who come too late after `later` seconds."""

    grace = 0.05

    def __init__(self, later: float) -> None:
        self.later = later
        self.reserved: list[int] = []

    async def reserve(self, count: int) -> list[float]:
        self.reserved.append(count)
        return [0.0 if len(self.reserved) == 1 else self.later] * count


class Keys:
    """No greeting was accepted before."""

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> Collection[UUID]:
        return ()


class Email:
    """An email service that accepts everything."""

    async def send(self, greeting: Greeting, **_: object) -> Answer:
        return Answer(Outcome.ACCEPTED, 0.01)


class Books(Actor[Any]):
    """Keeps what it is told, and says when that is all."""

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


async def delivered(rate: Rate, *, claimed_after: float) -> list[Record]:
    """What becomes of a delivery of three."""
    steady = Steady()
    lease = Lease(steady)
    lease.renew(7, steady.at)
    books = Books(3)
    recorder: Address[Any] = Address("recorder", capacity=10)
    sender: Address[Deliver] = Address("sender", capacity=1)
    parts: tuple[Any, Any, Any, Any] = (Rows(claimed_after), Keys(), Email(), rate)
    policy = RetryPolicy(attempts=3, base=timedelta(seconds=1), limit=timedelta(seconds=1), hold=False)
    common: dict[str, Any] = {"lease": lease, "outages": Outages(), "metrics": Metrics(), "witness": nobody}

    def make() -> Sender:
        return Sender(*parts, recorder, policy=policy, wire=Wire(10), **common)

    stage = Supervisor("stage", [ChildSpec("recorder", lambda: books, recorder), ChildSpec("sender", make, sender)])
    await stage.start()
    await sender.tell(Deliver(Delivery((uuid4(), uuid4(), uuid4()), "receipt")))
    async with asyncio.timeout(10):
        await books.complete.wait()
    await stage.drain(5)
    return books.records


async def test_greetings_that_missed_their_turns_take_others() -> None:
    """Held up by a slow claim and then sent together, they would add to those whose turns are then."""
    rate = Rate(later=0.01)

    records = await delivered(rate, claimed_after=2 * Rate.grace)

    assert rate.reserved == [3, 1, 1, 1]
    assert [record.result.status for record in records] == [Status.SENT] * 3


async def test_a_greeting_whose_other_turn_is_far_away_is_given_back() -> None:
    """A node that leaves meanwhile must not leave its outcome in doubt; no attempt is spent."""
    records = await delivered(Rate(later=2 * CLAIM_AHEAD), claimed_after=2 * Rate.grace)

    assert [(record.result.status, record.result.answer) for record in records] == [(Status.RETRYING, None)] * 3


async def test_greetings_in_time_take_no_other_turns() -> None:
    """Each place is a part of the rate that nobody else has."""
    rate = Rate(later=1e6)
    rate.grace = 60.0

    records = await delivered(rate, claimed_after=0.0)

    assert rate.reserved == [3]
    assert [record.result.status for record in records] == [Status.SENT] * 3
