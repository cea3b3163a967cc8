"""How much work may be on its way, given how fast it is being done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.pressure import HORIZON, LEAST, MOST, Pressure


def worked(pressure: Pressure, *, per_second: int, seconds: int, begin: int = 0, outstanding: int = LEAST) -> None:
    """Let as much be handed out as is done, so that the same number stays on its way."""
    pressure.measured(outstanding, begin)
    for second in range(begin + 1, begin + seconds + 1):
        pressure.handed_out(per_second)
        pressure.measured(outstanding, second)


def test_a_beginning_may_hand_out_enough_to_find_out_how_fast_it_goes() -> None:
    """Nothing was measured yet, and something has to be on its way to be measured."""
    assert Pressure().room() == LEAST


def test_what_was_handed_out_takes_room() -> None:
    """At once, not only after the next measurement."""
    pressure = Pressure()

    pressure.handed_out(LEAST - 1)
    one_left = pressure.room()
    pressure.handed_out(1_000)

    assert (one_left, pressure.room()) == (1, 0)


def test_the_room_grows_to_half_a_minute_of_work() -> None:
    """A fast service is kept busy."""
    pressure = Pressure()

    worked(pressure, per_second=1_000, seconds=60)

    assert pressure.rate == pytest.approx(1_000, rel=0.01)
    assert pressure.room() == pytest.approx(1_000 * HORIZON - LEAST, rel=0.01)


def test_the_room_shrinks_when_the_work_slows_down() -> None:
    """What was handed out at the old rate is worked off before more is: it must not wait in queues for an hour."""
    pressure = Pressure()
    worked(pressure, per_second=1_000, seconds=60, outstanding=20_000)
    before = pressure.room()

    worked(pressure, per_second=100, seconds=60, begin=60, outstanding=20_000)

    assert before > 0
    assert pressure.rate == pytest.approx(100, rel=0.01)
    assert pressure.room() == 0


def test_a_service_that_has_stopped_leaves_room_for_a_trial_only() -> None:
    """When it is back the rate has to be found again."""
    pressure = Pressure()
    worked(pressure, per_second=1_000, seconds=60)

    worked(pressure, per_second=0, seconds=60, begin=60)
    full = pressure.room()
    pressure.measured(0, 1_000)

    assert full == 0
    assert pressure.room() == pytest.approx(LEAST, abs=100)


def test_an_idle_hour_does_not_slow_down_the_next_wave() -> None:
    """Nothing was done because nothing was there: that says nothing about how fast it goes."""
    pressure = Pressure()
    worked(pressure, per_second=1_000, seconds=60)
    pressure.measured(0, 61)
    before = pressure.rate

    for second in range(62, 3_600):
        pressure.measured(0, second)

    assert pressure.rate == before


def test_two_measurements_at_one_instant_are_no_rate() -> None:
    """A coarse clock, or one that was read twice."""
    pressure = Pressure()
    pressure.measured(1_000, 5)

    pressure.measured(0, 5)

    assert pressure.rate == 0
    assert pressure.room() == LEAST


def test_there_is_never_room_for_more_than_the_most() -> None:
    """It bounds the memory of Redis and RabbitMQ."""
    pressure = Pressure()

    worked(pressure, per_second=1_000_000, seconds=60)

    assert pressure.room() == MOST - LEAST


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("measured"), st.integers(0, 2 * MOST), st.floats(0, 1_000)),
            st.tuples(st.just("handed_out"), st.integers(0, 2 * MOST), st.just(0.0)),
        ),
        max_size=40,
    )
)
def test_the_room_is_never_negative_nor_more_than_the_most(story: list[tuple[str, int, float]]) -> None:
    """Whatever other nodes hand out, and whatever recovery takes back, between two measurements."""
    pressure = Pressure()
    at = 0.0

    for what, count, later in story:
        if what == "measured":
            at += later
            pressure.measured(count, at)
        else:
            pressure.handed_out(count)

        assert 0 <= pressure.room() <= MOST
        assert pressure.rate >= 0
