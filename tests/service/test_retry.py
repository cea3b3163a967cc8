"""What follows an attempt, and when the next one is made."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.messages import MOVES, Answer, Outcome, Status
from service.domain.retry import RetryPolicy, Verdict, verdict

SECOND = timedelta(seconds=1)
PATIENT = RetryPolicy(attempts=10, base=SECOND, limit=timedelta(minutes=15), hold=False)
HOLDING = RetryPolicy(attempts=10, base=SECOND, limit=timedelta(minutes=15), hold=True)
AGAIN = (Outcome.REJECTED, Outcome.UNKNOWN)


def latest() -> float:
    """The highest number that a random one comes close to."""
    return 1.0


@pytest.mark.parametrize(
    ("spent", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (10, 512), (11, 900), (12, 900), (1_000, 900)]
)
def test_the_bound_doubles_up_to_the_limit(spent: int, seconds: int) -> None:
    """The first retry comes soon, and the thousandth not after the end of the world."""
    assert PATIENT.bound(spent) == timedelta(seconds=seconds)


@given(
    base=st.timedeltas(timedelta(microseconds=1), timedelta(days=366)),
    limit=st.timedeltas(timedelta(microseconds=1), timedelta(days=366)),
    spent=st.integers(1, 1_000),
)
def test_no_configuration_makes_a_bound_that_cannot_be_waited_for(
    base: timedelta, limit: timedelta, spent: int
) -> None:
    """Whatever the settings take, the thirtieth attempt must not crash the sender."""
    policy = RetryPolicy(attempts=1_000, base=base, limit=limit, hold=False)

    bound = policy.bound(spent)

    assert min(base, limit) <= bound <= limit
    assert bound <= policy.bound(spent + 1)


@pytest.mark.parametrize("outcome", AGAIN)
@pytest.mark.parametrize("spent", [1, 5, 9])
def test_the_wait_is_anywhere_between_nothing_and_the_bound(outcome: Outcome, spent: int) -> None:
    """Full jitter: what failed together does not come back together."""
    random = Random(7).random

    delays = [verdict(Answer(outcome, 0.1), spent, PATIENT, random).delay / PATIENT.bound(spent) for _ in range(500)]

    assert 0 <= min(delays) < 0.05
    assert 0.95 < max(delays) <= 1
    assert sum(delays) / len(delays) == pytest.approx(0.5, abs=0.05)


@given(
    spent=st.integers(1, 9),
    random=st.floats(0, 1, exclude_max=True),
    asked=st.timedeltas(timedelta(0), timedelta(hours=24)),
)
def test_retry_after_is_never_cut_short(spent: int, random: float, asked: timedelta) -> None:
    """The service knows best; the jitter comes on top, or all would come back at the same second."""
    answer = Answer(Outcome.REJECTED, 0.1, status_code=429, retry_after=asked)

    found = verdict(answer, spent, PATIENT, lambda: random)

    assert found.status is Status.RETRYING
    assert asked <= found.delay <= asked + PATIENT.bound(spent)


@pytest.mark.parametrize("outcome", AGAIN)
def test_the_last_attempt_is_the_last(outcome: Outcome) -> None:
    """Ten means ten: not nine, and not eleven."""
    before = verdict(Answer(outcome, 0.1), 9, PATIENT, latest)
    last = verdict(Answer(outcome, 0.1), 10, PATIENT, latest)
    beyond = verdict(Answer(outcome, 0.1), 11, PATIENT, latest)

    assert before.status is Status.RETRYING
    assert last == beyond == Verdict(Status.FAILED)


def test_a_retry_after_does_not_lengthen_the_life_of_a_message() -> None:
    """Out of attempts is out of attempts."""
    answer = Answer(Outcome.REJECTED, 0.1, status_code=503, retry_after=timedelta(seconds=30))

    assert verdict(answer, 10, PATIENT, latest) == Verdict(Status.FAILED)


@pytest.mark.parametrize("spent", [1, 10, 11])
def test_what_is_accepted_or_refused_is_final(spent: int) -> None:
    """A refusal is not tried again, and an acceptance on the last attempt counts."""
    assert verdict(Answer(Outcome.ACCEPTED, 0.1), spent, PATIENT, latest) == Verdict(Status.SENT)
    assert verdict(Answer(Outcome.REFUSED, 0.1), spent, PATIENT, latest) == Verdict(Status.FAILED)


@pytest.mark.parametrize("spent", [1, 10, 11])
def test_with_hold_an_unknown_outcome_waits_for_a_person(spent: int) -> None:
    """Even the last: `failed` would say that nobody was greeted, and nobody knows that."""
    assert verdict(Answer(Outcome.UNKNOWN, 0.1), spent, HOLDING, latest) == Verdict(Status.UNKNOWN)


def test_with_hold_what_was_surely_not_taken_is_tried_again() -> None:
    """Only doubt is held."""
    assert verdict(Answer(Outcome.REJECTED, 0.1), 1, HOLDING, latest).status is Status.RETRYING


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("policy", [PATIENT, HOLDING], ids=["resend", "hold"])
@pytest.mark.parametrize("spent", [1, 10])
def test_every_verdict_is_a_legal_move(outcome: Outcome, policy: RetryPolicy, spent: int) -> None:
    """The schema would refuse another, and the outcome would not be written down."""
    assert verdict(Answer(outcome, 0.1), spent, policy, latest).status in MOVES[Status.SENDING]
