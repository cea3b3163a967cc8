"""When a job is due by its cron expression."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from service.cadence import Cadence

MIDNIGHT = datetime(2027, 3, 14, tzinfo=UTC)


def test_the_first_question_is_not_answered_by_the_past() -> None:
    """What a start has to make up for is for the job to know, not for the cron."""
    assert Cadence("0 0 * * *").due(MIDNIGHT + timedelta(hours=3)) is None


def test_an_instant_is_due_once() -> None:
    """However often the actor asks."""
    cadence = Cadence("0 0 * * *")
    cadence.due(MIDNIGHT - timedelta(seconds=1))

    assert cadence.due(MIDNIGHT) == MIDNIGHT
    assert cadence.due(MIDNIGHT) is None
    assert cadence.due(MIDNIGHT + timedelta(seconds=1)) is None


def test_of_instants_passed_over_the_latest_is_due() -> None:
    """One run makes up for all: a day without the node is not 1440 minute jobs."""
    cadence = Cadence("* * * * *")
    cadence.due(MIDNIGHT)

    assert cadence.due(MIDNIGHT + timedelta(days=1, seconds=30)) == MIDNIGHT + timedelta(days=1)


def test_a_clock_that_was_put_back_begins_anew() -> None:
    """The job would otherwise rest until the clock is where it was."""
    cadence = Cadence("0 * * * *")
    cadence.due(MIDNIGHT + timedelta(hours=5))

    assert cadence.due(MIDNIGHT + timedelta(minutes=30)) is None
    assert cadence.due(MIDNIGHT + timedelta(hours=1)) == MIDNIGHT + timedelta(hours=1)


@pytest.mark.parametrize("step", [timedelta(microseconds=1), timedelta(seconds=1), timedelta(minutes=59)])
def test_an_instant_is_found_however_long_after_it_one_asks(step: timedelta) -> None:
    """`get_prev` of the library leaves out the instant itself, and must not leave out the one just passed."""
    cadence = Cadence("*/10 * * * *")
    cadence.due(MIDNIGHT - timedelta(seconds=1))

    assert cadence.due(MIDNIGHT + step) == (MIDNIGHT + step).replace(
        minute=(MIDNIGHT + step).minute // 10 * 10, second=0, microsecond=0
    )
