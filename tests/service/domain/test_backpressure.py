"""How much work may be on its way, given how fast it is being done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.pressure import FEWEST, HORIZON, LEAST, MOST, Pressure


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
    pressure.measured(FEWEST - 1, 1_000)

    assert full == 0
    assert pressure.room() == 1


def test_what_is_done_at_once_does_not_slow_down_the_next_wave() -> None:
    """All that was there was done: that says nothing about how fast it could go."""
    pressure = Pressure()
    worked(pressure, per_second=1_000, seconds=60)
    pressure.measured(0, 61)
    before = pressure.rate

    for second in range(62, 162):
        pressure.handed_out(1)
        pressure.measured(0, second)

    assert pressure.rate == pytest.approx(before, rel=0.01)


def test_an_hour_later_the_service_may_be_another() -> None:
    """At the rate of the last wave, fifty thousand might be handed out before it is seen how slow it is by now."""
    pressure = Pressure()
    worked(pressure, per_second=1_000, seconds=60)
    pressure.measured(0, 61)

    pressure.measured(0, 3_600)

    assert pressure.rate == 0
    assert pressure.room() == LEAST


def story(per_second: float, *, at_most: float | None = None, due: int = 20_000, lasts: float = 120.0) -> list[int]:
    """What is on its way, fifty times a second, of a wave that is delivered so fast from a tenth of a second on, and
    handed out as the ticker does it."""
    pressure = Pressure(at_most=at_most)
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
            while claimed := min(size, pressure.room(), due):
                outstanding, due, size = outstanding + claimed, due - claimed, min(2 * size, 4_000)
                pressure.handed_out(claimed)
            look_at = at + min(1.0, max(0.1, pressure.seconds() / 10))
    return on_its_way


@pytest.mark.parametrize("per_second", [200, 1_500, 5_000])
def test_a_wave_that_begins_is_never_held_up(per_second: int) -> None:
    """Nobody knows yet how fast it goes, and it is never the ticker that makes it slow."""
    lasts = 15_000 / per_second

    assert min(story(per_second, lasts=min(lasts, 60.0))[1:]) > 0


@pytest.mark.parametrize("per_second", [5, 15, 22, 100])
def test_no_more_is_handed_out_than_is_sent_in_half_a_minute(per_second: int) -> None:
    """What waits for longer than three times as long is taken for lost."""
    on_its_way = story(per_second, lasts=480.0)

    assert max(on_its_way) <= max(LEAST, per_second * HORIZON * 1.2)
    assert max(on_its_way[-600:]) <= max(FEWEST, per_second * HORIZON * 1.2)


@pytest.mark.parametrize("at_most", [0.02, 1, 15, 100])
def test_a_configured_rate_is_known_from_the_beginning(at_most: float) -> None:
    """Four thousand at 15 a second were handed out at half of it, taken back, and handed out again."""
    assert max(story(at_most, at_most=at_most)) <= max(1, at_most * HORIZON)


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
