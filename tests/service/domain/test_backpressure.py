"""Tests the limit of work on its way for a given rate of delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.backpressure import (
    FASTEST,
    HORIZON,
    MAX_ROOM,
    MIN_ROOM,
    REFILLED_AT,
    SHORT,
    UNMEASURED_ROOM,
    Backpressure,
)


def worked(
    pressure: Backpressure, *, per_second: int, seconds: int, begin: int = 0, outstanding: int = UNMEASURED_ROOM
) -> None:
    """Hand out as much as is done, so that the number on its way stays the same."""
    pressure.measured(outstanding, begin)
    for second in range(begin + 1, begin + seconds + 1):
        pressure.handed_out(per_second)
        pressure.measured(outstanding, second)


def test_a_beginning_may_hand_out_enough_to_find_out_how_fast_it_goes() -> None:
    """There is no measurement without work on its way."""
    assert Backpressure().room() == UNMEASURED_ROOM


def test_what_was_handed_out_takes_room() -> None:
    """It counts at once, before the next measurement."""
    pressure = Backpressure()

    pressure.handed_out(UNMEASURED_ROOM - 1)
    one_left = pressure.room()
    pressure.handed_out(1_000)

    assert (one_left, pressure.room()) == (1, 0)


def test_the_room_grows_to_half_a_minute_of_work() -> None:
    """A fast service is kept busy."""
    pressure = Backpressure()

    worked(pressure, per_second=1_000, seconds=60)

    assert pressure.rate == pytest.approx(1_000, rel=0.01)
    assert pressure.room() == pytest.approx(1_000 * HORIZON - UNMEASURED_ROOM, rel=0.01)


def test_the_room_shrinks_when_the_work_slows_down() -> None:
    """Otherwise work claimed at the old rate would wait in queues for an hour."""
    pressure = Backpressure()
    worked(pressure, per_second=1_000, seconds=60, outstanding=20_000)
    before = pressure.room()

    worked(pressure, per_second=100, seconds=60, begin=60, outstanding=20_000)

    assert before > 0
    assert pressure.rate == pytest.approx(100, rel=0.01)
    assert pressure.room() == 0


def test_a_service_that_has_stopped_leaves_room_for_a_trial_only() -> None:
    """After its return the rate is measured again."""
    pressure = Backpressure()
    worked(pressure, per_second=1_000, seconds=60)

    worked(pressure, per_second=0, seconds=60, begin=60)
    full = pressure.room()
    pressure.measured(MIN_ROOM - 1, 1_000)

    assert full == 0
    assert pressure.room() == 1


def test_what_is_done_at_once_does_not_slow_down_the_next_wave() -> None:
    """All work was done, so the measurement shows no upper limit."""
    pressure = Backpressure()
    worked(pressure, per_second=1_000, seconds=60)
    pressure.measured(0, 61)
    before = pressure.rate

    for second in range(62, 162):
        pressure.handed_out(1)
        pressure.measured(0, second)

    assert pressure.rate == pytest.approx(before, rel=0.01)


def test_an_hour_later_the_service_may_be_another() -> None:
    """At the rate of the last wave, fifty thousand messages could be handed out before a slower service is noticed."""
    pressure = Backpressure()
    worked(pressure, per_second=1_000, seconds=60)
    pressure.measured(0, 61)

    pressure.measured(0, 3_600)

    assert pressure.rate == 0
    assert pressure.room() == UNMEASURED_ROOM


def story(per_second: float, *, at_most: float | None = None, due: int = 20_000, lasts: float = 120.0) -> list[int]:
    """Return the number on its way, fifty times a second, of a wave that the ticker hands out.

    It is delivered at this rate from a tenth of a second on.
    """
    pressure = Backpressure(at_most=lambda: at_most)
    outstanding, done, size, look_at = 0, 0.0, 50, 0.0
    on_its_way = []
    for step in range(int(lasts * 50)):
        at = step / 50
        done += per_second / 50 if at > 0.1 else 0.0
        taken = min(outstanding, int(done))
        outstanding, done = outstanding - taken, done - int(done)
        on_its_way.append(outstanding)
        if at >= look_at:
            pressure.measured(outstanding, at)
            while pressure.seconds_until_room() == 0 and (claimed := min(size, pressure.room(), due)):
                outstanding, due, size = outstanding + claimed, due - claimed, min(2 * size, 12_500)
                pressure.handed_out(claimed)
            look_at = at + max(0.1, pressure.seconds_until_room())
    return on_its_way


@pytest.mark.parametrize("per_second", [200, 1_500, 5_000])
def test_a_wave_that_begins_is_never_held_up(per_second: int) -> None:
    """The rate is unknown, and the ticker must not be the bottleneck."""
    lasts = 15_000 / per_second

    assert min(story(per_second, lasts=min(lasts, 60.0))[1:]) > 0


def test_more_is_handed_out_when_a_quarter_of_the_room_is_free() -> None:
    """A claim reads past all that left while a session holds a snapshot, so there are few and large ones."""
    pressure = Backpressure()
    worked(pressure, per_second=1_000, seconds=60, outstanding=30_000)
    pressure.measured(27_000, 63)
    later = pressure.seconds_until_room()
    pressure.measured(22_400, 67.5)

    assert later == pytest.approx(27_000 / FASTEST)
    assert pressure.seconds_until_room() == 0
    assert pressure.room() > 30_000 * REFILLED_AT


def test_a_wait_for_room_is_short_while_little_is_on_its_way() -> None:
    """When a throttle ends, the next measurement must not be a minute away. Until then ten a second are too many."""
    pressure = Backpressure()
    worked(pressure, per_second=1, seconds=60, outstanding=MIN_ROOM)

    assert pressure.seconds_until_room() == SHORT


@pytest.mark.parametrize("per_second", [5, 15, 22, 100])
def test_no_more_is_handed_out_than_is_sent_in_half_a_minute(per_second: int) -> None:
    """Work that waits three times as long counts as lost."""
    on_its_way = story(per_second, lasts=480.0)

    assert max(on_its_way) <= max(UNMEASURED_ROOM, per_second * HORIZON * 1.2)
    assert max(on_its_way[-600:]) <= max(MIN_ROOM, per_second * HORIZON * 1.2)


@pytest.mark.parametrize("at_most", [0.02, 1, 15, 100])
def test_a_configured_rate_is_known_from_the_beginning(at_most: float) -> None:
    """Without it, four thousand messages at 15 a second were handed out, requeued and handed out again."""
    assert max(story(at_most, at_most=at_most)) <= max(1, at_most * HORIZON)


def test_two_measurements_at_one_instant_are_no_rate() -> None:
    """The clock may be coarse, or may have been read twice."""
    pressure = Backpressure()
    pressure.measured(1_000, 5)

    pressure.measured(0, 5)

    assert pressure.rate == 0
    assert pressure.room() == UNMEASURED_ROOM


def test_there_is_never_room_for_more_than_the_most() -> None:
    """The limit bounds the memory of Redis and RabbitMQ."""
    pressure = Backpressure()

    worked(pressure, per_second=1_000_000, seconds=60)

    assert pressure.room() == MAX_ROOM - UNMEASURED_ROOM


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("measured"), st.integers(0, 2 * MAX_ROOM), st.floats(0, 1_000)),
            st.tuples(st.just("handed_out"), st.integers(0, 2 * MAX_ROOM), st.just(0.0)),
        ),
        max_size=40,
    )
)
def test_the_room_is_never_negative_nor_more_than_the_most(story: list[tuple[str, int, float]]) -> None:
    """Other nodes and recovery change the number between two measurements."""
    pressure = Backpressure()
    at = 0.0

    for what, count, later in story:
        if what == "measured":
            at += later
            pressure.measured(count, at)
        else:
            pressure.handed_out(count)

        assert 0 <= pressure.room() <= MAX_ROOM
        assert pressure.rate >= 0
