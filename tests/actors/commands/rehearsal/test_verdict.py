"""The verdict finds each kind of fault in the records. Otherwise its zeros mean nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.commands.rehearsal.records import Work
from actors.commands.rehearsal.verdict import Verdict, judge
from service.domain.messages import Status

NINE = datetime(2027, 3, 1, 9, tzinfo=UTC)
BEGAN = datetime(2027, 2, 28, 18, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def sent(**changes: object) -> Work:
    """A message that was sent a minute after 09:00."""
    at = NINE + A_MINUTE
    work = Work(uuid.uuid4(), Status.SENT, NINE, accepted=1, first_began=at, accepted_began=at)
    return replace(work, **changes)  # type: ignore[arg-type]  # fields by name


def accepted(*works: Work, at: datetime = NINE + 2 * A_MINUTE) -> list[tuple[str | None, int]]:
    """The ledger of a service that accepted each of these once."""
    return [(str(work.id), int(at.timestamp() * 1000)) for work in works]


def verdict(
    works: list[Work],
    acceptances: Iterable[tuple[str | None, int]],
    *,
    unplanned: int = 0,
    tried: set[str] | None = None,
    failures_allowed: int = 0,
) -> Verdict:
    """The verdict with business time equal to real time. By default every key is recorded."""
    acceptances = list(acceptances)
    return judge(
        works,
        acceptances,
        since=BEGAN,
        due=len(works) + unplanned,
        unplanned=unplanned,
        tried={key for key, _ in acceptances if key} if tried is None else tried,
        business_time=lambda milliseconds: datetime.fromtimestamp(milliseconds / 1000, UTC),
        failures_allowed=failures_allowed,
    )


def test_a_day_on_which_every_user_is_greeted_once_is_good() -> None:
    """This is the normal case."""
    works = [sent(), sent()]

    found = verdict(works, accepted(*works))

    assert found.good
    assert (found.planned, found.sent, found.retried, found.latest) == (2, 2, 0, A_MINUTE)


def test_a_greeting_without_a_message_is_lost() -> None:
    """If planning misses a user, only the calendar shows it."""
    found = verdict([], [], unplanned=1)

    assert (found.lost, found.good) == (1, False)


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.RETRYING])
def test_a_message_that_has_not_ended_is_late_and_not_lost(status: Status) -> None:
    """It is not good, and heyday may still send it."""
    found = verdict([sent(status=status, accepted=0, accepted_began=None)], [])

    assert (found.late, found.lost, found.good) == (1, 0, False)


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED, Status.UNKNOWN])
def test_a_message_that_was_not_sent_by_the_end_is_lost(status: Status) -> None:
    """The user got no greeting."""
    work = sent(status=status, accepted=0, rejected=1, accepted_began=None)

    found = verdict([work], [])

    assert (found.lost, found.sent, found.good) == (1, 0, False)


def failed(**changes: object) -> Work:
    """A message that the service refused."""
    return sent(**{"status": Status.FAILED, "accepted": 0, "refused": 1, "accepted_began": None} | changes)


def test_messages_that_the_service_refused_may_fail_up_to_the_limit() -> None:
    """While a service refuses every message, the circuit opens after a few."""
    works = [failed(), failed(), sent()]

    found = verdict(works, accepted(works[2]), failures_allowed=2)

    assert found.good
    assert (found.refused, found.wrongly_failed, found.lost) == (2, 0, 0)


def test_a_refused_message_with_an_unknown_outcome_counts_as_refused() -> None:
    """The service may have accepted it before, so it ends as unknown."""
    works = [failed(status=Status.UNKNOWN, unknown=1)]

    assert verdict(works, [], failures_allowed=1).good
    assert verdict(works, [], failures_allowed=0).wrongly_failed == 1


def test_a_refused_message_beyond_the_limit_is_lost() -> None:
    """An outage must not fail a whole wave."""
    works = [failed(), failed(), failed()]

    found = verdict(works, [], failures_allowed=2)

    assert (found.refused, found.wrongly_failed, found.lost, found.good) == (2, 1, 1, False)


def test_a_failed_message_that_the_service_did_not_refuse_is_lost() -> None:
    """A 503 or a wrong key says nothing about a message."""
    found = verdict([failed(refused=0, rejected=10)], [], failures_allowed=100)

    assert (found.refused, found.wrongly_failed, found.good) == (0, 1, False)


def test_a_message_on_record_as_sent_that_the_service_never_saw_is_lost() -> None:
    """The record of the database is not enough."""
    found = verdict([sent()], [])

    assert (found.unconfirmed, found.lost, found.good) == (1, 1, False)


def test_what_was_begun_in_an_earlier_demo_need_not_be_in_this_ledger() -> None:
    """The ledger ends with the process of the service. The database does not."""
    work = sent(first_began=BEGAN - A_MINUTE, send_at=BEGAN - A_MINUTE, unknown=1)

    found = verdict([work], [])

    assert found.good


def test_an_acceptance_without_a_record_fails_the_verdict() -> None:
    """The service accepted a greeting that heyday has not recorded."""
    work = sent()
    stranger = sent()

    found = verdict([work], accepted(work, stranger), tried={str(work.id)})

    assert (found.unrecorded, found.good) == (1, False)


def test_an_acceptance_without_a_key_fails_the_verdict() -> None:
    """Without an Idempotency-Key it belongs to no message."""
    found = verdict([], [(None, 0)])

    assert (found.unrecorded, found.good) == (1, False)


def test_a_second_acceptance_that_nothing_explains_is_a_duplicate() -> None:
    """A user was greeted twice although the first answer had arrived."""
    work = sent()

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.good) == (1, 0, False)


def test_a_second_accepted_attempt_on_record_is_a_duplicate() -> None:
    """It counts even if the ledger does not have it."""
    work = sent(accepted=2)

    found = verdict([work], accepted(work))

    assert (found.duplicates, found.good) == (1, False)


def test_a_second_acceptance_after_an_attempt_without_an_answer_is_a_repetition() -> None:
    """It cannot be avoided, and has the same key."""
    work = sent(unknown=1)

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.unknown, found.good) == (0, 1, 1, True)


def test_an_answer_that_came_after_its_attempt_was_given_up_is_a_repetition() -> None:
    """A stopped node records late answers beside the records of other nodes."""
    work = sent(accepted=2, unknown=1)

    found = verdict([work], accepted(work, work))

    assert (found.duplicates, found.repeated, found.good) == (0, 1, True)


def test_one_attempt_without_an_answer_explains_one_repetition_only() -> None:
    """Three acceptances need two unknown outcomes."""
    work = sent(unknown=1)

    found = verdict([work], accepted(work, work, work))

    assert (found.duplicates, found.repeated) == (1, 1)


def test_an_attempt_before_nine_is_early() -> None:
    """This is the record of the database."""
    work = sent(first_began=NINE - timedelta(seconds=1))

    found = verdict([work], accepted(work))

    assert (found.early, found.good) == (1, False)


def test_an_acceptance_before_nine_is_early() -> None:
    """This is the record of the service."""
    work = sent()

    found = verdict([work], accepted(work, at=NINE - timedelta(milliseconds=2)))

    assert (found.early, found.good) == (1, False)


def test_an_acceptance_in_the_millisecond_of_nine_is_not_early() -> None:
    """The ledger cuts its times to whole milliseconds."""
    work = sent(send_at=NINE + timedelta(microseconds=900))

    found = verdict([work], accepted(work, at=NINE))

    assert found.early == 0


def test_the_latest_greeting_and_the_latest_first_attempt_are_reported_apart() -> None:
    """The service causes late retries. heyday causes late first attempts."""
    retried = sent(rejected=2, accepted_began=NINE + timedelta(hours=1))
    works = [sent(), retried]

    found = verdict(works, accepted(*works))

    assert (found.latest, found.latest_attempts, found.latest_first) == (timedelta(hours=1), 3, A_MINUTE)
    assert (found.retried, found.rejected) == (1, 2)
