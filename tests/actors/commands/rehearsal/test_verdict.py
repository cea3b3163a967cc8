"""The summary must be able to say that something went wrong, or its zeros are worth nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.rehearsal.records import Work
from actors.rehearsal.verdict import Verdict, judge
from service.domain.messages import Status

NINE = datetime(2027, 3, 1, 9, tzinfo=UTC)
BEGAN = datetime(2027, 2, 28, 18, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def sent(**changes: object) -> Work:
    """A message that went as it should, a minute after 09:00."""
    at = NINE + A_MINUTE
    work = Work(uuid.uuid4(), Status.SENT, NINE, accepted=1, first_began=at, accepted_began=at)
    return replace(work, **changes)  # type: ignore[arg-type]  # fields by name


def accepted(*works: Work, at: datetime = NINE + 2 * A_MINUTE) -> list[tuple[str | None, int]]:
    """What the service's ledger has when it took each of these once."""
    return [(str(work.id), int(at.timestamp() * 1000)) for work in works]


def verdict(
    works: list[Work],
    acceptances: Iterable[tuple[str | None, int]],
    *,
    unplanned: int = 0,
    tried: set[str] | None = None,
) -> Verdict:
    """The verdict where business time is real time and, unless said otherwise, every key is on record."""
    acceptances = list(acceptances)
    return judge(
        works,
        acceptances,
        since=BEGAN,
        due=len(works) + unplanned,
        unplanned=unplanned,
        tried={key for key, _ in acceptances if key} if tried is None else tried,
        business_time=lambda milliseconds: datetime.fromtimestamp(milliseconds / 1000, UTC),
    )


def test_a_day_on_which_everybody_is_greeted_once_is_good() -> None:
    """The rule."""
    works = [sent(), sent()]

    found = verdict(works, accepted(*works))

    assert found.good
    assert (found.planned, found.sent, found.retried, found.latest) == (2, 2, 0, A_MINUTE)


def test_a_greeting_without_a_message_is_lost() -> None:
    """Planning may forget somebody; then no row says so, and only the calendar knows."""
    found = verdict([], [], unplanned=1)

    assert (found.lost, found.good) == (1, False)


@pytest.mark.parametrize(
    "status", [Status.FAILED, Status.EXPIRED, Status.UNKNOWN, Status.SCHEDULED, Status.QUEUED, Status.RETRYING]
)
def test_a_message_that_was_not_sent_by_the_end_is_lost(status: Status) -> None:
    """Whatever became of it, somebody waited in vain."""
    work = sent(status=status, accepted=0, rejected=1, accepted_began=None)

    found = verdict([work], [])

    assert (found.lost, found.sent, found.good) == (1, 0, False)


def test_a_message_on_record_as_sent_that_the_service_never_saw_is_lost() -> None:
    """The database alone must not be believed."""
    found = verdict([sent()], [])

    assert (found.unconfirmed, found.lost, found.good) == (1, 1, False)


def test_what_was_begun_in_an_earlier_demo_need_not_be_in_this_ledger() -> None:
    """The service's ledger ends with its process; the database goes on."""
    work = sent(first_began=BEGAN - A_MINUTE, send_at=BEGAN - A_MINUTE, unknown=1)

    found = verdict([work], [])

    assert found.good


def test_an_acceptance_that_is_not_on_record_is_told() -> None:
    """The service took a greeting that heyday knows nothing of."""
    work = sent()
    stranger = sent()

    found = verdict([work], accepted(work, stranger), tried={str(work.id)})

    assert (found.unrecorded, found.good) == (1, False)


def test_an_acceptance_without_a_key_is_told() -> None:
    """Without an Idempotency-Key nobody can say whose it was."""
    found = verdict([], [(None, 0)])

    assert (found.unrecorded, found.good) == (1, False)


def test_a_second_acceptance_that_nothing_explains_is_a_duplicate() -> None:
    """Somebody was greeted twice although the first answer had arrived."""
    work = sent()

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.good) == (1, 0, False)


def test_a_second_accepted_attempt_on_record_is_a_duplicate() -> None:
    """Even if the ledger had missed it."""
    work = sent(accepted=2)

    found = verdict([work], accepted(work))

    assert (found.duplicates, found.good) == (1, False)


def test_a_second_acceptance_after_an_attempt_without_an_answer_is_a_repetition() -> None:
    """It cannot be avoided, has the same key, and is named for what it is."""
    work = sent(unknown=1)

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.unknown, found.good) == (0, 1, 1, True)


def test_an_answer_that_came_after_its_attempt_was_given_up_is_a_repetition() -> None:
    """A node that stood still writes down what it finds in its sockets, beside what others have made of it."""
    work = sent(accepted=2, unknown=1)

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.good) == (0, 1, True)


def test_one_attempt_without_an_answer_explains_one_repetition_only() -> None:
    """Three acceptances and one unknown outcome are one too many."""
    work = sent(unknown=1)

    found = verdict([work], accepted(work, work, work))

    assert (found.duplicates, found.repeated) == (1, 1)


def test_an_attempt_before_nine_is_early() -> None:
    """As the database has it."""
    work = sent(first_began=NINE - timedelta(seconds=1))

    found = verdict([work], accepted(work))

    assert (found.early, found.good) == (1, False)


def test_an_acceptance_before_nine_is_early() -> None:
    """As the service has it, whatever the database says."""
    work = sent()

    found = verdict([work], accepted(work, at=NINE - timedelta(milliseconds=2)))

    assert (found.early, found.good) == (1, False)


def test_an_acceptance_in_the_millisecond_of_nine_is_not_early() -> None:
    """The ledger cuts its times to whole milliseconds."""
    work = sent(send_at=NINE + timedelta(microseconds=900))

    found = verdict([work], accepted(work, at=NINE))

    assert found.early == 0


def test_the_latest_is_told_with_its_attempts_and_the_first_attempts_apart() -> None:
    """A greeting that was retried is late by the service's doing, a late first attempt by ours."""
    retried = sent(rejected=2, accepted_began=NINE + timedelta(hours=1))
    works = [sent(), retried]

    found = verdict(works, accepted(*works))

    assert (found.latest, found.latest_attempts, found.latest_first) == (timedelta(hours=1), 3, A_MINUTE)
    assert (found.retried, found.rejected) == (1, 2)
