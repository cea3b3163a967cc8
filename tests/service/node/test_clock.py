"""Business time between two readings, and the clock jumps that a reading shows."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from service.node.clock import JUMP_TOLERANCE, BusinessClock, Jump
from service.ports import ClockReading
from tests.service.node.steady import Steady

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def clock(steady: Steady) -> BusinessClock:
    return BusinessClock(steady)


def reading(at: datetime, *, rate: float = 1.0) -> ClockReading:
    return ClockReading(at, at, rate, None)


def test_before_the_first_reading_nothing_is_known(clock: BusinessClock) -> None:
    """A caller must get an error, and not the node's own time."""
    assert clock.now() is None
    assert clock.seconds_until(NOON) == 0.0


def test_time_goes_on_between_readings_at_the_rate_of_the_database(clock: BusinessClock, steady: Steady) -> None:
    """In a demo a day takes a minute, and nodes must know when the next instant comes."""
    clock.read(reading(NOON, rate=60.0), asked_at=steady())

    steady.passes(10)

    assert clock.now() == NOON + timedelta(minutes=10)
    assert clock.seconds_until(NOON + timedelta(minutes=25)) == 15.0
    assert clock.seconds_until(NOON) == 0.0


@pytest.mark.parametrize(("moved", "rate"), [(90_000.0, 1.0), (-3600.0, 1.0), (1.5, 1.0), (-7200.0, 60.0)])
def test_a_reading_that_differs_from_what_was_expected_is_a_jump(
    clock: BusinessClock, steady: Steady, moved: float, rate: float
) -> None:
    """The cause may be a suspended machine, a restored snapshot or a corrected clock. Unit: seconds of real time."""
    clock.read(reading(NOON, rate=rate), asked_at=steady())
    steady.passes(1)

    jump = clock.read(reading(NOON + timedelta(seconds=rate + moved), rate=rate), asked_at=steady())

    assert jump is not None
    assert jump.seconds == pytest.approx(moved / rate)
    assert clock.jumps == 1


def test_a_slow_answer_is_no_jump(clock: BusinessClock, steady: Steady) -> None:
    """The reading may have been made at any time between request and answer."""
    clock.read(reading(NOON), asked_at=steady())
    asked_at = steady()
    steady.passes(8)

    assert clock.read(reading(NOON + timedelta(seconds=8)), asked_at=asked_at) is None
    assert clock.jumps == 0


@pytest.mark.parametrize("made_after", [0, 3])
def test_after_a_slow_answer_the_next_one_is_no_jump(clock: BusinessClock, steady: Steady, made_after: int) -> None:
    """The server stalled before it read its clock, or the answer came late. A jump forward ended the lease."""
    clock.read(reading(NOON), asked_at=steady())
    asked_at = steady()
    steady.passes(3)
    clock.read(reading(NOON + timedelta(seconds=made_after)), asked_at=asked_at)
    steady.passes(1)

    assert clock.read(reading(NOON + timedelta(seconds=4)), asked_at=steady()) is None
    assert clock.jumps == 0


def test_a_clock_that_stands_still_is_no_division_by_zero(clock: BusinessClock, steady: Steady) -> None:
    """Tests stop the clock."""
    clock.read(reading(NOON, rate=0.0), asked_at=steady())

    assert clock.now() == NOON
    assert clock.seconds_until(NOON + timedelta(seconds=5)) == 5.0


def test_the_skew_is_the_node_minus_the_database(clock: BusinessClock, steady: Steady) -> None:
    """Its sign shows which of the two clocks is ahead."""
    behind = datetime.fromtimestamp(time.time() - 600, UTC)

    clock.read(reading(behind), asked_at=steady())

    assert clock.skew == pytest.approx(600, abs=1)


def test_a_clock_that_stands_still_does_not_jump_until_it_is_set(clock: BusinessClock, steady: Steady) -> None:
    """A stopped clock is expected to show the same time. Otherwise planning would start again every second."""
    clock.read(reading(NOON, rate=0.0), asked_at=steady())
    steady.passes(3600)

    stood_still = clock.read(reading(NOON, rate=0.0), asked_at=steady())
    was_set = clock.read(reading(NOON + timedelta(hours=1), rate=0.0), asked_at=steady())

    assert (stood_still, was_set) == (None, Jump(3600, 3600))


@pytest.mark.parametrize(
    ("moved", "of_server", "stood_still"), [(60.0, 60.0, True), (60.0, 0.0, False), (-60.0, -60.0, False)]
)
def test_a_machine_that_stood_still_is_told_from_a_clock_that_was_set(
    clock: BusinessClock, steady: Steady, moved: float, of_server: float, stood_still: bool
) -> None:
    """Only in the first case may other nodes have ended this one while its own clocks stood still."""
    clock.read(reading(NOON), asked_at=steady())
    steady.passes(1)

    now, server_now = NOON + timedelta(seconds=1 + moved), NOON + timedelta(seconds=1 + of_server)
    jump = clock.read(ClockReading(now, server_now, 1.0, None), asked_at=steady())

    assert jump == Jump(moved, of_server)
    assert jump.machine_stood_still is stood_still


def test_after_a_jump_the_clock_is_taken_as_it_is(clock: BusinessClock, steady: Steady) -> None:
    """A jump is reported once, however often the clock is read."""
    clock.read(reading(NOON), asked_at=steady())
    clock.read(reading(NOON + timedelta(hours=1)), asked_at=steady())
    steady.passes(1)

    assert clock.read(reading(NOON + timedelta(hours=1, seconds=1)), asked_at=steady()) is None
    assert clock.jumps == 1
    assert clock.now() == NOON + timedelta(hours=1, seconds=1)


def test_a_small_difference_is_no_jump(clock: BusinessClock, steady: Steady) -> None:
    """Clocks are adjusted by milliseconds all the time."""
    clock.read(reading(NOON), asked_at=steady())

    assert clock.read(reading(NOON + timedelta(seconds=JUMP_TOLERANCE * 0.9)), asked_at=steady()) is None


@pytest.mark.parametrize(("moved", "jumped"), [(0, False), (30, False), (3600, True), (-3600, True)])
def test_a_slow_reading_explains_as_much_as_it_took(
    clock: BusinessClock, steady: Steady, moved: int, jumped: bool
) -> None:
    """A reading of 30 s may explain a difference of 30 s, but not of an hour."""
    clock.read(reading(NOON), asked_at=steady())
    asked_at = steady()
    steady.passes(30)

    jump = clock.read(reading(NOON + timedelta(seconds=moved)), asked_at=asked_at)

    assert (jump is not None) is jumped


async def test_the_first_reading_is_waited_for(clock: BusinessClock, steady: Steady) -> None:
    """A node that has just started gets requests before it knows the time."""
    waiting = asyncio.ensure_future(clock.first_reading(within=60))
    await asyncio.sleep(0)
    assert not waiting.done()

    clock.read(reading(NOON), asked_at=steady())

    assert await waiting


async def test_a_clock_that_is_never_read_is_not_waited_for_without_end(clock: BusinessClock) -> None:
    """The request gets 503 then."""
    assert not await clock.first_reading(within=0.01)
