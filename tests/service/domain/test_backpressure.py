"""Tests the limit of work on its way for a given rate of delivery."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.recovery import PASS_INTERVAL, QUEUED_FOR
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


@dataclass
class Story:
    """A wave that the ticker hands out, and what recovery takes back of it.

    Its messages leave in their order, at the rate that `per_second` has at an instant, from a tenth of a second on.
    """

    per_second: Callable[[float], float]
    at_most: float | None = None
    due: int = 20_000
    on_its_way: list[int] = field(default_factory=list)
    """Fifty times a second."""
    taken_back: int = 0

    def lasts(self, seconds: float) -> Story:
        """Let it go on for so long."""
        pressure = Backpressure(at_most=lambda: self.at_most)
        queue: deque[tuple[float, int]] = deque()
        done, size, look_at, pass_at = 0.0, 50, 0.0, 0.0
        for step in range(int(seconds * 50)):
            at = step / 50
            done += self.per_second(at) / 50 if at > 0.1 else 0.0
            done -= _leave(queue, int(done))
            done -= int(done)  # nobody works in advance
            if at >= pass_at:
                self._take_back(queue, at)
                pass_at = at + PASS_INTERVAL
            self.on_its_way.append(_length(queue))
            if at >= look_at:
                pressure.measured(_length(queue), at, taken_back=self.taken_back)
                while pressure.seconds_until_room() == 0 and (claimed := min(size, pressure.room(), self.due)):
                    queue.append((at, claimed))
                    self.due, size = self.due - claimed, min(2 * size, 12_500)
                    pressure.handed_out(claimed)
                look_at = at + max(0.1, pressure.seconds_until_room())
        return self

    def _take_back(self, queue: deque[tuple[float, int]], at: float) -> None:
        while queue and at - queue[0][0] >= QUEUED_FOR.total_seconds():
            count = queue.popleft()[1]
            self.taken_back += count
            self.due += count


def _length(queue: deque[tuple[float, int]]) -> int:
    return sum(count for _, count in queue)


def _leave(queue: deque[tuple[float, int]], most: int) -> int:
    """Take up to `most` from the front, and return how many."""
    left = most
    while left and queue:
        at, count = queue.popleft()
        taken = min(left, count)
        left -= taken
        if count > taken:
            queue.appendleft((at, count - taken))
    return most - left


def story(per_second: float, *, at_most: float | None = None, lasts: float = 120.0) -> list[int]:
    """Return the number on its way, fifty times a second, of a wave that leaves at this rate."""
    return Story(lambda _at: per_second, at_most).lasts(lasts).on_its_way


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


@pytest.mark.parametrize(("at_first", "then"), [(10, 10), (500, 50), (5_000, 100)])
def test_what_was_taken_back_does_not_count_as_sent(at_first: float, then: float) -> None:
    """Else the more is taken back, the more is handed out, until all of it waits too long, for ever."""
    slower = Story(lambda at: at_first if at < 60 else then, due=1_000_000).lasts(900.0)

    assert slower.taken_back <= max(UNMEASURED_ROOM, at_first * HORIZON)
    assert max(slower.on_its_way[-600:]) <= then * HORIZON * 1.2


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
