"""The ticker: the sizes of its claims, and a claim whose answer is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from actors.context import NodeContext
from actors.dispatcher import IDS_PER_BUNDLE
from actors.periodic import Tick
from actors.runtime import Address, Supervisor
from actors.ticker import RunMinute, Ticker
from service.domain.bundles import decode
from service.domain.messages import Outcome
from service.ports import ClockReading, Due, Outstanding, Unavailable
from service.ports.names import DUE
from tests.actors.contexts import INCARNATION, NOW, AcceptingEmailService, alone
from tests.actors.due import due_messages
from tests.fakes.coordination import FakeLocks
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.rows import AttemptRow
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady


class Wave(FakeMessages):
    """Messages without rows, due now and delivered at once: ten thousand rows would take the fake seconds."""

    def __init__(self, truth: Truth, due: int, steady: Steady) -> None:
        super().__init__(truth)
        self.left = due
        self.at = NOW
        self._steady = steady
        self.limits: list[int] = []
        self.claimed = asyncio.Event()

    async def read_clock(self, *, next_due: bool = False) -> ClockReading:
        self._steady.passes(0.1)
        return ClockReading(self.at, self.at, 0.0, NOW if next_due and self.left else None)

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
        if len(self.limits) > 1:
            return 0  # only the latest claim is taken back
        found, self.lost = self.lost, 0
        self.left += found
        return found


class Backlog(Wave):
    """A wave that leaves at 3,000 a second. It counts the statements that read past all that left."""

    def __init__(self, truth: Truth, due: int, steady: Steady) -> None:
        super().__init__(truth, due, steady)
        self._on_their_way = 0.0
        self._at = steady.at
        self.looks = 0
        self.counts = 0
        self.idle = 0

    def _leave(self) -> None:
        passed, self._at = self._steady.at - self._at, self._steady.at
        left = self._on_their_way - 3_000 * passed
        self.idle += bool(self.limits) and left < 0
        self._on_their_way = max(0.0, left)

    async def read_clock(self, *, next_due: bool = False) -> ClockReading:
        self.looks += next_due
        return await super().read_clock(next_due=next_due)

    async def outstanding(self, limit: int) -> Outstanding:
        self._leave()
        self.counts += 1
        return Outstanding(int(self._on_their_way), 0)

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        self._leave()
        due = await super().claim_due(fence=fence, incarnation=incarnation, limit=limit, late_limit=late_limit)
        self._on_their_way += len(due.queued)
        return due


def ticker_of(context: NodeContext, messages: FakeMessages, memory: RedisMemory) -> Supervisor:
    """A ticker alone, which hands out what is due to `DUE`."""
    address: Address[RunMinute | Tick] = Address("ticker", capacity=1)
    return alone(lambda: make_ticker(context, messages, memory), address)


def make_ticker(
    context: NodeContext, messages: FakeMessages, memory: RedisMemory, *, cron: str = "0 0 1 1 *"
) -> Ticker:
    """A ticker without a supervisor."""
    return Ticker(
        context,
        messages,
        FakeWorkStream(memory, DUE, consumer="node"),
        FakeLocks(memory, owner="node"),
        AcceptingEmailService(),
        cron=cron,
        late_limit=timedelta(hours=48),
        email_rate=lambda: None,
        on_jump=lambda _: None,
    )


def handed_out(memory: RedisMemory) -> int:
    """The number of messages in the stream."""
    return sum(len(decode(one.body)) for one in memory.streams[DUE].entries.values())


async def test_a_wave_begins_with_one_bundle_and_each_claim_is_twice_the_one_before(
    context: NodeContext, truth: Truth, memory: RedisMemory, steady: Steady
) -> None:
    """The first greeting waits for the whole first claim and its publication, so the first claim is small.

    The rest of the wave uses few, large statements.
    """
    wave = Wave(truth, 10_000, steady)
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
    context: NodeContext, truth: Truth, memory: RedisMemory, steady: Steady, due: int
) -> None:
    """Its rows are queued, so no other claim finds them, and recovery looks at them only after 90 seconds."""
    wave = WaveWithALostAnswer(truth, due, steady)
    stage = ticker_of(context, wave, memory)

    await stage.start()
    async with asyncio.timeout(30):
        await wave.claimed.wait()
    await stage.drain(5)

    assert handed_out(memory) == due


@pytest.mark.parametrize("begins", ["by hand", "by its cron"])
async def test_a_lost_claim_is_found_before_the_minute_job_claims_more(
    context: NodeContext, truth: Truth, memory: RedisMemory, steady: Steady, begins: str
) -> None:
    """Only the latest claim of a node can be taken back: after another one its rows would wait for recovery."""
    wave = WaveWithALostAnswer(truth, 1_000, steady)
    ticker = make_ticker(context, wave, memory, cron="* * * * *")
    with pytest.raises(Unavailable):
        await ticker.run_once()

    if begins == "by hand":
        await ticker._run_minute()
    else:
        wave.at += timedelta(minutes=1)
    while wave.left:
        context.lease.renew(INCARNATION, steady.at)
        steady.passes(await ticker.run_once())

    assert handed_out(memory) == 1_000


async def test_a_backlog_is_claimed_by_few_large_statements(
    context: NodeContext, truth: Truth, memory: RedisMemory, steady: Steady
) -> None:
    """While a session holds a snapshot, each look at what is due or queued reads past all that left since."""
    began_at = steady.at
    backlog = Backlog(truth, 300_000, steady)
    ticker = make_ticker(context, backlog, memory)
    statements: dict[float, int] = {}

    while backlog.left and steady.at < began_at + 200:
        context.lease.renew(INCARNATION, steady.at)
        steady.passes(await ticker.run_once())
        memory.streams[DUE].entries.clear()
        statements[steady.at] = len(backlog.limits) + backlog.counts + backlog.looks

    assert (backlog.left, backlog.idle) == (0, 0)
    begin = next(at for at in statements if at > began_at + 10)
    assert (statements[steady.at] - statements[begin]) / (steady.at - begin) < 1


async def test_a_late_message_that_may_have_been_sent_is_not_logged_as_expired(
    context: NodeContext, truth: Truth, memory: RedisMemory
) -> None:
    """A person looks for it among the unknown ones. No node has died."""
    late = NOW - timedelta(hours=49)
    expired, unknown = (truth.move(row, send_at=late, due_at=late, attempt=1) for row in due_messages(truth, 2))
    truth.log_attempt(
        AttemptRow(
            message_id=unknown.id,
            local_year=unknown.local_year,
            number=1,
            outcome=Outcome.UNKNOWN,
            incarnation=INCARNATION,
            started_at=late,
            duration=0.0,
            status_code=None,
            error=None,
            recorded_at=late,
        )
    )
    address: Address[RunMinute | Tick] = Address("ticker", capacity=1)
    stage = alone(lambda: make_ticker(context, FakeMessages(truth), memory), address)

    with capture_logs() as lines:
        await stage.start()
        await address.ask(RunMinute, within=30)
        await stage.drain(5)

    found = {line["message"]: line for line in lines if "message" in line}
    assert {one: (line["event"], line["log_level"], line["reason"]) for one, line in found.items()} == {
        str(expired.id): ("greeting_expired", "warning", "too late to send"),
        str(unknown.id): (
            "greeting_unknown", "info", "too late to send, and the email service may have the message"
        ),
    }  # fmt: skip
    assert {line["outcome"] for line in found.values()} == {"not_attempted"}
    assert [line["count"] for line in lines if line["event"] == "messages_expired"] == [1]
