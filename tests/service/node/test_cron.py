"""When a job is due by its cron expression."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from service.node.cron import CronSchedule

MIDNIGHT = datetime(2027, 3, 14, tzinfo=UTC)


def test_the_first_question_is_not_answered_by_the_past() -> None:
    """The job itself catches up at a start. The cron does not."""
    assert CronSchedule("0 0 * * *").due(MIDNIGHT + timedelta(hours=3)) is None


def test_an_instant_is_due_once() -> None:
    """The number of calls does not matter."""
    schedule = CronSchedule("0 0 * * *")
    schedule.due(MIDNIGHT - timedelta(seconds=1))

    assert schedule.due(MIDNIGHT) == MIDNIGHT
    assert schedule.due(MIDNIGHT) is None
    assert schedule.due(MIDNIGHT + timedelta(seconds=1)) is None


def test_of_instants_passed_over_the_latest_is_due() -> None:
    """One run catches up: a day without the node does not cause 1440 minute jobs."""
    schedule = CronSchedule("* * * * *")
    schedule.due(MIDNIGHT)

    assert schedule.due(MIDNIGHT + timedelta(days=1, seconds=30)) == MIDNIGHT + timedelta(days=1)


def test_a_clock_that_was_put_back_begins_anew() -> None:
    """Otherwise the job would pause until the clock reaches its old value."""
    schedule = CronSchedule("0 * * * *")
    schedule.due(MIDNIGHT + timedelta(hours=5))

    assert schedule.due(MIDNIGHT + timedelta(minutes=30)) is None
    assert schedule.due(MIDNIGHT + timedelta(hours=1)) == MIDNIGHT + timedelta(hours=1)


@pytest.mark.parametrize("step", [timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=59)])
def test_an_instant_is_found_however_long_after_it_one_asks(step: timedelta) -> None:
    """`get_prev` of the library excludes the instant itself, but must not exclude one that has just passed."""
    schedule = CronSchedule("*/10 * * * *")
    schedule.due(MIDNIGHT - timedelta(seconds=1))

    assert schedule.due(MIDNIGHT + step) == (MIDNIGHT + step).replace(
        minute=(MIDNIGHT + step).minute // 10 * 10, second=0, microsecond=0
    )
