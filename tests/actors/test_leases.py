"""Actors whose node has lost its lease, or is leaving: what they hold goes back, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.delivery.intake import Intake
from actors.delivery.sender import Deliver, Sender
from actors.delivery.wire import Wire
from actors.facts import nobody
from actors.lease import Lease
from actors.planner import Planner, RunDaily
from actors.runtime import Actor, Address, Backoff, ChildSpec, Supervisor
from actors.ticker import RunMinute, Ticker
from service.adapters.redis.rate import Unlimited
from service.clock import BusinessClock
from service.domain.retry import RetryPolicy
from service.outages import Outages
from service.ports import CircuitState, Claimed, Delivery, Due, Entry, Planned, Pulse, Unavailable
from service.telemetry.metrics import Metrics
from tests.service.steady import Steady

NOW = datetime(2027, 3, 14, 12, tzinfo=UTC)


class Queue:
    """A delivery queue that hands out what it is given, and remembers how it was treated."""

    def __init__(self, *deliveries: Delivery | Exception) -> None:
        self.deliveries = list(deliveries)
        self.treated: list[str] = []
        self.asked = asyncio.Event()
        self.paused = asyncio.Event()

    async def receive(self, *, within: float) -> Delivery | None:
        if self.deliveries:
            following = self.deliveries.pop(0)
            if isinstance(following, Exception):
                raise following
            self.treated.append("received")
            return following
        self.asked.set()
        await asyncio.sleep(within)
        return None

    async def pause(self) -> None:
        self.treated.append("paused")
        self.paused.set()

    async def close(self) -> None:
        self.treated.append("closed")


class Email:
    """An email service whose circuit is closed; nothing may reach it in these tests."""

    circuit = CircuitState.CLOSED

    async def admits(self, *, within: float) -> bool:
        return True


class Rows:
    """The rows: they count claims, and tell that they are away when told to."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.claims = 0
        self.asked = asyncio.Event()

    async def claim_for_sending(self, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        self.claims += 1
        self.asked.set()
        if self.away:
            raise Unavailable("postgres", "away")
        return []

    async def pulse(self) -> Pulse:
        return Pulse(NOW, NOW, 1.0, NOW - timedelta(seconds=5))

    async def outstanding(self, limit: int) -> int:
        return 0

    async def claim_due(self, **_: object) -> Due:
        raise AssertionError("claimed without a lease")


@pytest.fixture
def steady() -> Steady:
    """The clock of the lease, moved by the test."""
    return Steady()


@pytest.fixture
def lease(steady: Steady) -> Lease:
    """The lease of incarnation 7, just renewed."""
    lease = Lease(steady)
    lease.renew(7, steady.at)
    return lease


def common(lease: Lease) -> dict[str, Any]:
    """What every actor that acts is given."""
    return {"lease": lease, "outages": Outages(), "metrics": Metrics(), "witness": nobody}


def alone(make: Any, address: Address[Any]) -> Supervisor:
    """That actor under a supervisor that restarts it at once."""
    return Supervisor("stage", [ChildSpec("actor", make, address)], backoff=Backoff(random=lambda: 0.0))


def a_sender(lease: Lease, rows: Any, recorder: Address[Any]) -> Actor[Deliver]:
    policy = RetryPolicy(attempts=3, base=timedelta(seconds=1), limit=timedelta(seconds=1), hold=False)
    nothing: Any = None
    email: Any = Email()
    return Sender(rows, nothing, email, Unlimited(), recorder, policy=policy, wire=Wire(1), **common(lease))


@pytest.mark.parametrize("lost", ["the lease", "the database"])
async def test_a_sender_that_cannot_claim_leaves_with_its_node(lease: Lease, steady: Steady, lost: str) -> None:
    """A drain must not wait for a lease or a server that does not come back; the delivery is not acknowledged, so
    another node gets it."""
    rows = Rows(away=lost == "the database")
    if lost == "the lease":
        lease.end()
    address: Address[Deliver] = Address("sender", capacity=1)
    recorder: Address[Any] = Address("recorder", capacity=10)
    stage = alone(lambda: a_sender(lease, rows, recorder), address)
    await stage.start()
    await address.tell(Deliver(Delivery((uuid4(),), "receipt")))
    if lost == "the database":
        await rows.asked.wait()

    report = await stage.drain(10)

    assert report.clean
    assert report.took < 5
    assert recorder.depth == 0
    assert rows.claims == (0 if lost == "the lease" else rows.claims)


async def test_a_sender_claims_as_soon_as_its_node_was_heard_again(lease: Lease, steady: Steady) -> None:
    """A lease that is lost for a moment costs a moment, and no delivery."""
    rows = Rows()
    lease.end()
    address: Address[Deliver] = Address("sender", capacity=1)
    recorder: Address[Any] = Address("recorder", capacity=10)
    stage = alone(lambda: a_sender(lease, rows, recorder), address)
    await stage.start()
    await address.tell(Deliver(Delivery((uuid4(),), "receipt")))

    lease.renew(8, steady.at)
    async with asyncio.timeout(5):
        await rows.asked.wait()
    report = await stage.drain(5)

    assert (report.clean, rows.claims, recorder.depth) == (True, 1, 1)


def an_intake(queue: Any, delivery: Address[Any], lease: Lease) -> Actor[Any]:
    email: Any = Email()
    return Intake(queue, email, delivery, on_emptied=lambda _: None, **common(lease))


async def test_an_intake_that_was_restarted_first_gives_back_what_its_last_life_had_taken(lease: Lease) -> None:
    """What was received and lost with it would count against the prefetch for ever."""
    queue = Queue(Delivery((uuid4(),), 1), ValueError("a bug"), Delivery((uuid4(),), 2))
    delivery: Address[Any] = Address("senders", capacity=10)
    stage = alone(lambda: an_intake(queue, delivery, lease), Address("intake", capacity=1))

    await stage.start()
    async with asyncio.timeout(5):
        await queue.asked.wait()
    report = await stage.drain(5)

    assert queue.treated == ["closed", "received", "closed", "received", "paused"]
    assert delivery.depth == 2
    assert report.clean


async def test_an_intake_without_a_lease_takes_nothing_and_gives_back_what_was_prefetched(lease: Lease) -> None:
    """What lies with a node that may not act is late; others may act."""
    queue = Queue(Delivery((uuid4(),), 1))
    lease.end()
    delivery: Address[Any] = Address("senders", capacity=10)
    stage = alone(lambda: an_intake(queue, delivery, lease), Address("intake", capacity=1))

    await stage.start()
    async with asyncio.timeout(5):
        await queue.paused.wait()
    await stage.drain(5)

    assert "received" not in queue.treated
    assert delivery.depth == 0


class Plan:
    """Planning that is two days behind."""

    async def planned(self) -> Planned:
        return Planned(NOW, NOW - timedelta(days=2), NOW - timedelta(days=2))

    async def occasions(self) -> list[Any]:
        return []

    async def announce(self, *_: object, **__: object) -> list[int]:
        raise AssertionError("announced without a lease")


class Stream:
    """A stream in which there is nothing."""

    name = "heyday:plan"

    async def unfinished(self, *, count: int) -> list[Entry]:
        return []

    async def read(self, *, count: int, block: float) -> list[Entry]:
        await asyncio.sleep(block)
        return []


async def test_the_daily_job_by_hand_is_refused_while_the_lease_is_lost(lease: Lease) -> None:
    """Whoever asked is told that it was not done, at once, and the planner lives on."""
    lease.end()
    address: Address[Any] = Address("planner", capacity=4)
    parts: tuple[Any, Any] = (Plan(), Stream())
    stage = alone(
        lambda: Planner(
            *parts,
            send_at=time(9),
            leap_day=None,  # type: ignore[arg-type]  # without occasions nobody looks
            cron="0 0 * * *",
            clock=BusinessClock(),
            on_emptied=lambda _: None,
            **common(lease),
        ),
        address,
    )
    await stage.start()

    for _ in range(2):
        with pytest.raises(Unavailable, match="has not been heard"):
            await address.ask(RunDaily, within=5)

    assert stage.view().children[0].restarts == 0
    await stage.drain(5)


async def test_the_minute_job_by_hand_is_refused_while_the_lease_is_lost(lease: Lease) -> None:
    """Nothing is claimed, and nobody is told that there was nothing to do: something is due."""
    lease.end()
    address: Address[Any] = Address("ticker", capacity=4)
    parts: tuple[Any, Any, Any, Any] = (Rows(), None, None, Email())
    stage = alone(
        lambda: Ticker(
            *parts,
            clock=BusinessClock(),
            cron="* * * * *",
            late_limit=timedelta(hours=48),
            email_rate=None,
            on_jump=lambda _: None,
            **common(lease),
        ),
        address,
    )
    await stage.start()

    with pytest.raises(Unavailable, match="has not been heard"):
        await address.ask(RunMinute, within=5)

    assert stage.view().children[0].restarts == 0
    await stage.drain(5)
