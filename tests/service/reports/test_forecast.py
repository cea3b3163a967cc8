"""When waves that wait for a rate end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.reports.forecast import Minute, Wave, waves

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def due(minutes: int, count: int) -> Minute:
    return Minute(NOON + minutes * MINUTE, {"birthday": count})


def test_a_wave_is_over_when_the_rate_has_taken_it() -> None:
    """A later one is another wave."""
    assert waves(0, [due(1, 60), due(3, 6)], NOON, 2.0) == [
        Wave(NOON + MINUTE, NOON + MINUTE + 30 * SECOND, 60, 60, NOON + MINUTE),
        Wave(NOON + 3 * MINUTE, NOON + 3 * MINUTE + 3 * SECOND, 6, 6, NOON + 3 * MINUTE),
    ]


def test_what_comes_before_a_wave_is_over_prolongs_it() -> None:
    """At one a second, 240 of 300 still wait when 100 more come, so the maximum is 340."""
    assert waves(0, [due(0, 300), due(1, 100), due(5, 1)], NOON, 1.0) == [
        Wave(NOON, NOON + 401 * SECOND, 401, 340, NOON + MINUTE)
    ]


def test_the_backlog_is_the_begin_of_the_first_wave() -> None:
    """Waiting messages leave first. A minute that has begun does not start in the past."""
    found = waves(120, [due(0, 30)], NOON + 30 * SECOND, 1.0)

    assert found == [Wave(NOON + 30 * SECOND, NOON + 180 * SECOND, 150, 150, NOON + 30 * SECOND)]
    assert waves(0, [], NOON, 1.0) == []


def test_a_wave_that_outlasts_the_calendar_is_over_at_its_end() -> None:
    """A hundred million greetings at one an hour take 11,000 years. The peak is counted all the same."""
    assert waves(100_000_000, [due(1, 60)], NOON, 1 / 3600) == [
        Wave(NOON, datetime.max.replace(tzinfo=UTC), 100_000_060, 100_000_060, NOON + MINUTE)
    ]
