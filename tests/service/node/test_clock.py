"""Business time between two readings, and the jumps that a reading reveals."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from service.clock import TOLERANCE, BusinessClock, Jump
from service.ports import Pulse
from tests.service.steady import Steady

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def clock(steady: Steady) -> BusinessClock:
    return BusinessClock(steady)


def pulse(at: datetime, *, rate: float = 1.0) -> Pulse:
    return Pulse(at, at, rate, None)


def test_before_the_first_reading_nothing_is_known(clock: BusinessClock) -> None:
    """Whoever asks must be able to tell, rather than be given the node's own time."""
    assert clock.now() is None
    assert clock.seconds_until(NOON) == 0.0


def test_time_goes_on_between_readings_at_the_rate_of_the_database(clock: BusinessClock, steady: Steady) -> None:
    """A demo's day takes a minute, and its nodes have to know when the next instant comes."""
    clock.read(pulse(NOON, rate=60.0), asked_at=steady())

    steady.passes(10)

    assert clock.now() == NOON + timedelta(minutes=10)
    assert clock.seconds_until(NOON + timedelta(minutes=25)) == 15.0
    assert clock.seconds_until(NOON) == 0.0


@pytest.mark.parametrize(("moved", "rate"), [(90_000.0, 1.0), (-3600.0, 1.0), (1.5, 1.0), (-7200.0, 60.0)])
def test_a_reading_that_differs_from_what_was_expected_is_a_jump(
    clock: BusinessClock, steady: Steady, moved: float, rate: float
) -> None:
    """A suspended machine, a restored snapshot, a corrected clock: in seconds of real time."""
    clock.read(pulse(NOON, rate=rate), asked_at=steady())
    steady.passes(1)

    jump = clock.read(pulse(NOON + timedelta(seconds=rate + moved), rate=rate), asked_at=steady())

    assert jump is not None
    assert jump.seconds == pytest.approx(moved / rate)
    assert clock.jumps == 1


def test_a_slow_answer_is_no_jump(clock: BusinessClock, steady: Steady) -> None:
    """The reading may have been made at any time between question and answer."""
    clock.read(pulse(NOON), asked_at=steady())
    asked_at = steady()
    steady.passes(8)

    assert clock.read(pulse(NOON + timedelta(seconds=8)), asked_at=asked_at) is None
    assert clock.jumps == 0


def test_a_clock_that_stands_still_is_no_division_by_zero(clock: BusinessClock, steady: Steady) -> None:
    """Tests stop it; a node must not crash of that."""
    clock.read(pulse(NOON, rate=0.0), asked_at=steady())

    assert clock.now() == NOON
    assert clock.seconds_until(NOON + timedelta(seconds=5)) == 5.0


def test_the_skew_is_the_node_minus_the_database(clock: BusinessClock, steady: Steady) -> None:
    """Signed, so that a person knows which of the two to look at."""
    behind = datetime.fromtimestamp(time.time() - 600, UTC)

    clock.read(pulse(behind), asked_at=steady())

    assert clock.skew == pytest.approx(600, abs=1)


def test_a_clock_that_stands_still_does_not_jump_until_it_is_set(clock: BusinessClock, steady: Steady) -> None:
    """An hour without a second is what was expected of it; planning anew every second would not be."""
    clock.read(pulse(NOON, rate=0.0), asked_at=steady())
    steady.passes(3600)

    stood_still = clock.read(pulse(NOON, rate=0.0), asked_at=steady())
    was_set = clock.read(pulse(NOON + timedelta(hours=1), rate=0.0), asked_at=steady())

    assert (stood_still, was_set) == (None, Jump(3600))


def test_after_a_jump_the_clock_is_taken_as_it_is(clock: BusinessClock, steady: Steady) -> None:
    """One jump is one jump, however often the clock is read afterwards."""
    clock.read(pulse(NOON), asked_at=steady())
    clock.read(pulse(NOON + timedelta(hours=1)), asked_at=steady())
    steady.passes(1)

    assert clock.read(pulse(NOON + timedelta(hours=1, seconds=1)), asked_at=steady()) is None
    assert clock.jumps == 1
    assert clock.now() == NOON + timedelta(hours=1, seconds=1)


def test_a_small_difference_is_no_jump(clock: BusinessClock, steady: Steady) -> None:
    """Clocks are slewed by milliseconds all the time."""
    clock.read(pulse(NOON), asked_at=steady())

    assert clock.read(pulse(NOON + timedelta(seconds=TOLERANCE * 0.9)), asked_at=steady()) is None


@pytest.mark.parametrize(("moved", "jumped"), [(0, False), (30, False), (3600, True), (-3600, True)])
def test_a_slow_reading_explains_as_much_as_it_took(
    clock: BusinessClock, steady: Steady, moved: int, jumped: bool
) -> None:
    """When within 30 s the database looked at its clock is unknown; an hour is not explained by that."""
    clock.read(pulse(NOON), asked_at=steady())
    asked_at = steady()
    steady.passes(30)

    jump = clock.read(pulse(NOON + timedelta(seconds=moved)), asked_at=asked_at)

    assert (jump is not None) is jumped
