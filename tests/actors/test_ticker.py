"""The ticker: the sizes of its claims, and a claim whose answer is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from actors.context import NodeContext
from actors.dispatcher import IDS_PER_BUNDLE
from actors.periodic import Tick
from actors.runtime import Address, Supervisor
from actors.ticker import RunMinute, Ticker
from service.domain.bundles import decode
from service.ports import ClockReading, Due, Unavailable
from service.ports.names import DUE
from tests.actors.contexts import NOW, AcceptingEmailService, alone
from tests.fakes.coordination import FakeLocks
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth


class Wave(FakeMessages):
    """Messages without rows, due now and delivered at once: ten thousand rows would take the fake seconds."""

    def __init__(self, truth: Truth, due: int) -> None:
        super().__init__(truth)
        self.left = due
        self.limits: list[int] = []
        self.claimed = asyncio.Event()

    async def read_clock(self) -> ClockReading:
        return ClockReading(NOW, NOW, 1.0, NOW if self.left else None)

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        self.limits.append(limit)
        count = min(limit, self.left)
        self.left -= count
        if not self.left:
            self.claimed.set()
        return Due(tuple(uuid4() for _ in range(count)), ())


class WaveWithALostAnswer(Wave):
    """The answer to the first claim is lost: its rows are queued, but the ticker does not have their ids."""

    lost = 0

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        due = await super().claim_due(fence=fence, incarnation=incarnation, limit=limit, late_limit=late_limit)
        if len(self.limits) == 1:
            self.lost = len(due.queued)
            self.claimed.clear()
            raise Unavailable("postgres", "the connection was lost")
        return due

    async def requeue_claim(self, *, incarnation: int) -> int:
        found, self.lost = self.lost, 0
        self.left += found
        return found


def ticker_of(context: NodeContext, messages: FakeMessages, memory: RedisMemory) -> Supervisor:
    """A ticker alone, which hands out what is due to `DUE`."""
    address: Address[RunMinute | Tick] = Address("ticker", capacity=1)
    return alone(
        lambda: Ticker(
            context,
            messages,
            FakeWorkStream(memory, DUE, consumer="node"),
            FakeLocks(memory, owner="node"),
            AcceptingEmailService(),
            cron="0 0 1 1 *",
            late_limit=timedelta(hours=48),
            email_rate=lambda: None,
            on_jump=lambda _: None,
        ),
        address,
    )


def handed_out(memory: RedisMemory) -> int:
    """The number of messages in the stream."""
    return sum(len(decode(one.body)) for one in memory.streams[DUE].entries.values())


async def test_a_wave_begins_with_one_bundle_and_each_claim_is_twice_the_one_before(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """The first greeting waits for the whole first claim and its publication, so the first claim is small.

    The rest of the wave uses few, large statements.
    """
    wave = Wave(truth, 10_000)
    stage = ticker_of(context, wave, memory)

    await stage.start()
    async with asyncio.timeout(30):
        await wave.claimed.wait()
    await stage.drain(5)

    assert wave.limits[0] <= IDS_PER_BUNDLE
    assert wave.limits[:5] == [wave.limits[0] * 2**number for number in range(5)]
    assert len(wave.limits) < 20
    assert handed_out(memory) == 10_000


@pytest.mark.parametrize("due", [20, 1_000])
async def test_a_claim_whose_answer_was_lost_is_handed_out_at_once(
    context: NodeContext, truth: Truth, memory: RedisMemory, due: int
) -> None:
    """Its rows are queued, so no other claim finds them, and recovery looks at them only after 90 seconds."""
    wave = WaveWithALostAnswer(truth, due)
    stage = ticker_of(context, wave, memory)

    await stage.start()
    async with asyncio.timeout(30):
        await wave.claimed.wait()
    await stage.drain(5)

    assert handed_out(memory) == due
