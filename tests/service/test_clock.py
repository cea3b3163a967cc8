"""Business time between two readings, and the jumps that a reading reveals."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from service.clock import BusinessClock
from service.ports import Pulse

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)


class Steady:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


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

    steady.seconds += 10

    assert clock.now() == NOON + timedelta(minutes=10)
    assert clock.seconds_until(NOON + timedelta(minutes=25)) == 15.0
    assert clock.seconds_until(NOON) == 0.0


@pytest.mark.parametrize(("moved", "rate"), [(90_000.0, 1.0), (-3600.0, 1.0), (1.5, 1.0), (-7200.0, 60.0)])
def test_a_reading_that_differs_from_what_was_expected_is_a_jump(
    clock: BusinessClock, steady: Steady, moved: float, rate: float
) -> None:
    """A suspended machine, a restored snapshot, a corrected clock: in seconds of real time."""
    clock.read(pulse(NOON, rate=rate), asked_at=steady())
    steady.seconds += 1

    jump = clock.read(pulse(NOON + timedelta(seconds=rate + moved), rate=rate), asked_at=steady())

    assert jump is not None
    assert jump.seconds == pytest.approx(moved / rate)
    assert clock.jumps == 1


def test_a_slow_answer_is_no_jump(clock: BusinessClock, steady: Steady) -> None:
    """The reading may have been made at any time between question and answer."""
    clock.read(pulse(NOON), asked_at=steady())
    asked_at = steady()
    steady.seconds += 8

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
