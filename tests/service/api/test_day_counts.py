"""Tests the choice of the hours to count again: a day of many messages costs as little as one of few."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import orjson

from service.api.day_counts import (
    AFFORDABLE,
    FIRST_COST,
    HOURS,
    MAX_SHARE,
    QUIET_INTERVAL,
    DayCounts,
    nothing_counted,
    window,
)
from service.api.http.json_text import encode
from service.domain.messages import Status
from service.ports import MessageCount

DAY = date(2027, 3, 14)
NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)
MANY = 12_500
"""Messages of an hour: 300,000 a day."""

TURN = 5.0
"""Seconds between two turns to count."""


def messages(hour: int, status: Status, count: int = MANY) -> MessageCount:
    """The messages of an hour of the day."""
    return MessageCount(window(DAY)[0] + timedelta(hours=hour, minutes=30), "Etc/UTC", "birthday", status, count, 0)


def counted_day(counts: list[MessageCount], *, seconds: float) -> DayCounts:
    """A day that has just been counted as a whole, within these seconds."""
    return nothing_counted(DAY).counted(range(HOURS), counts, NOON, seconds)


def test_a_day_that_was_never_counted_is_counted_as_a_whole() -> None:
    """Its price is not known before."""
    assert nothing_counted(DAY).due(NOON) == range(HOURS)
    assert window(DAY, range(HOURS)) == window(DAY)


def test_a_cheap_day_is_always_counted_as_a_whole() -> None:
    """Then nothing that is shown is older than a turn."""
    day = counted_day([messages(hour, Status.SENT, 100) for hour in range(HOURS)], seconds=0.01)

    assert day.older(TURN).due(NOON) == range(HOURS)


def test_hours_with_messages_under_way_come_first() -> None:
    """They change all the time. Hours ahead do not, though their messages are not sent either."""
    sent = [messages(hour, Status.SENT) for hour in (2, 9)]
    day = counted_day([*sent, messages(10, Status.QUEUED, 10), messages(15, Status.SCHEDULED)], seconds=1.0)

    assert day.older(TURN).due(NOON) == range(10, 11)


def test_what_was_expensive_is_not_counted_again_before_its_share_of_time() -> None:
    """An hour that takes half a second is counted every 25 seconds at most."""
    day = counted_day([messages(9, Status.QUEUED)], seconds=0.5)

    assert day.older(0.5 / MAX_SHARE - 1).due(NOON) is None
    assert day.older(0.5 / MAX_SHARE + 1).due(NOON) == range(9, 10)


def test_hours_in_which_nothing_is_under_way_wait_for_their_turn() -> None:
    """Nobody sees them change. Hours without messages cost nothing, and are counted along."""
    day = counted_day([messages(hour, Status.SENT) for hour in (2, 9)], seconds=1.0)

    assert day.older(QUIET_INTERVAL - 1).due(NOON) is None
    assert day.older(QUIET_INTERVAL).due(NOON) == range(2)
    after = day.older(QUIET_INTERVAL).counted(range(2), [], NOON, 0.0)
    assert after.due(NOON) is None  # half a second is 2 % of 25 seconds


def test_a_watched_day_takes_its_share_of_time_and_no_hour_is_forgotten() -> None:
    """Ten minutes of turns, during a wave in one hour of a day of 300,000 messages. A message takes 5 µs."""
    counts = [messages(hour, Status.SENT if hour < 11 else Status.SCHEDULED) for hour in range(HOURS)]
    counts[9] = messages(9, Status.SENDING)
    day = counted_day(counts, seconds=HOURS * MANY * FIRST_COST)
    seconds = 0.0
    oldest = [0.0] * HOURS

    for _ in range(120):
        day = day.older(TURN)
        oldest = [max(pair) for pair in zip(oldest, day.ages, strict=True)]
        if hours := day.due(NOON):
            new = [one for one in counts if counts.index(one) in hours]
            took = sum(one.count for one in new) * FIRST_COST
            assert took <= max(AFFORDABLE, MAX_SHARE * min(day.ages))
            seconds += took
            day = day.counted(hours, new, NOON, took)

    assert seconds / (120 * TURN) <= MAX_SHARE
    assert oldest[9] <= 4 * TURN
    assert max(oldest) <= 400
    assert sorted(one.send_at for one in day.counts) == [one.send_at for one in counts]


def test_counted_hours_replace_their_old_counts_only() -> None:
    """A message that changed its state is counted once."""
    day = counted_day([messages(9, Status.SENDING), messages(10, Status.SENT)], seconds=1.0)

    later = NOON + timedelta(seconds=30)
    after = day.older(30).counted(range(9, 10), [messages(9, Status.SENT)], later, 0.1)

    assert [(one.send_at.hour, one.status) for one in after.counts] == [(10, Status.SENT), (9, Status.SENT)]
    assert (after.ages[9], after.ages[10], after.cost) == (0, 30, 0.1 / MANY)
    assert [after.counted_at(one) for one in after.counts] == [NOON, later]


def test_counts_are_shared_between_nodes_with_their_ages() -> None:
    """The next node that counts goes on where the last one stopped."""
    day = counted_day([messages(9, Status.SENT), messages(23, Status.SCHEDULED)], seconds=1.0).older(3)

    parsed = DayCounts.parse(DAY, orjson.loads(encode(day.content())))

    assert parsed == day


def test_the_last_day_has_an_end() -> None:
    """There is no instant after it."""
    assert window(date.max)[1] == datetime.max.replace(tzinfo=UTC)
