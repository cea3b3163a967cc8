"""Tests the next step after an attempt, and the delay of the next one."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.messages import MOVES, Answer, Outcome, Status
from service.domain.retry import FIRST, History, NextStep, RetryPolicy, may_call, next_step, retry_reason

SECOND = timedelta(seconds=1)
PATIENT = RetryPolicy(attempts=10, base=SECOND, limit=timedelta(minutes=15), hold=False)
HOLDING = RetryPolicy(attempts=10, base=SECOND, limit=timedelta(minutes=15), hold=True)
AGAIN = (Outcome.TRANSIENT_FAILURE, Outcome.UNKNOWN)
LAST = History(made=9, spent=9)
"""The history of a message that has one attempt left."""


def latest() -> float:
    """A random source that returns almost the highest number."""
    return 1.0


@pytest.mark.parametrize(
    ("spent", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (10, 512), (11, 900), (12, 900), (1_000, 900)]
)
def test_the_bound_doubles_up_to_the_limit(spent: int, seconds: int) -> None:
    """The first retry comes soon, and no retry waits longer than the limit."""
    assert PATIENT.bound(spent) == timedelta(seconds=seconds)


@given(
    base=st.timedeltas(timedelta(microseconds=1), timedelta(days=366)),
    limit=st.timedeltas(timedelta(microseconds=1), timedelta(days=366)),
    spent=st.integers(1, 1_000),
)
def test_no_configuration_makes_a_bound_that_cannot_be_waited_for(
    base: timedelta, limit: timedelta, spent: int
) -> None:
    """With any valid settings, the thirtieth attempt must not crash the sender."""
    policy = RetryPolicy(attempts=1_000, base=base, limit=limit, hold=False)

    bound = policy.bound(spent)

    assert min(base, limit) <= bound <= limit
    assert bound <= policy.bound(spent + 1)


@pytest.mark.parametrize("outcome", AGAIN)
@pytest.mark.parametrize("made", [0, 4, 8])
def test_the_wait_is_anywhere_between_nothing_and_the_bound(outcome: Outcome, made: int) -> None:
    """With full jitter, messages that failed together are not retried together."""
    random = Random(7).random
    bound = PATIENT.bound(made + 1)

    delays = [next_step(Answer(outcome, 0.1), History(made), PATIENT, random).delay / bound for _ in range(500)]

    assert 0 <= min(delays) < 0.05
    assert 0.95 < max(delays) <= 1
    assert sum(delays) / len(delays) == pytest.approx(0.5, abs=0.05)


@given(
    made=st.integers(0, 8),
    random=st.floats(0, 1, exclude_max=True),
    asked=st.timedeltas(timedelta(0), timedelta(hours=24)),
    throttled=st.booleans(),
)
def test_retry_after_is_never_cut_short(made: int, random: float, asked: timedelta, throttled: bool) -> None:
    """The jitter is added, or all messages would return in the same second."""
    answer = Answer(Outcome.TRANSIENT_FAILURE, 0.1, status_code=503, retry_after=asked, throttled=throttled)

    found = next_step(answer, History(made), PATIENT, lambda: random)

    assert found.status is Status.RETRYING
    assert asked <= found.delay <= asked + PATIENT.bound(made + 1)


def test_the_wait_of_a_throttled_message_does_not_grow() -> None:
    """It waits for the common rate. A throttle of an hour must not delay it for hours."""
    answer = Answer(Outcome.TRANSIENT_FAILURE, 0.1, status_code=429, throttled=True, spent=False)

    assert next_step(answer, History(made=20), PATIENT, latest) == NextStep(Status.RETRYING, PATIENT.base)


@pytest.mark.parametrize(("outcome", "end"), [(AGAIN[0], Status.FAILED), (AGAIN[1], Status.UNKNOWN)])
def test_the_last_attempt_is_the_last(outcome: Outcome, end: Status) -> None:
    """A limit of ten means exactly ten attempts."""
    before = next_step(Answer(outcome, 0.1), History(made=8, spent=8), PATIENT, latest)
    last = next_step(Answer(outcome, 0.1), LAST, PATIENT, latest)
    beyond = next_step(Answer(outcome, 0.1), History(made=10, spent=10), PATIENT, latest)

    assert before.status is Status.RETRYING
    assert last == beyond == NextStep(end)


@pytest.mark.parametrize("outcome", AGAIN)
def test_an_attempt_that_is_not_spent_ends_no_message(outcome: Outcome) -> None:
    """While the service accepts no message, a message waits after any number of attempts."""
    step = next_step(Answer(outcome, 0.1, spent=False), History(made=5000, spent=9), PATIENT, latest)

    assert step == NextStep(Status.RETRYING, PATIENT.limit)


def test_a_retry_after_does_not_lengthen_the_life_of_a_message() -> None:
    """It grants no further attempt."""
    answer = Answer(Outcome.TRANSIENT_FAILURE, 0.1, status_code=503, retry_after=timedelta(seconds=30))

    assert next_step(answer, LAST, PATIENT, latest) == NextStep(Status.FAILED)


@pytest.mark.parametrize("history", [FIRST, LAST])
def test_what_is_accepted_or_refused_is_final(history: History) -> None:
    """A refusal is not retried, and an acceptance on the last attempt counts."""
    assert next_step(Answer(Outcome.ACCEPTED, 0.1), history, PATIENT, latest) == NextStep(Status.SENT)
    assert next_step(Answer(Outcome.PERMANENT_FAILURE, 0.1), history, PATIENT, latest) == NextStep(Status.FAILED)


@pytest.mark.parametrize("outcome", [Outcome.PERMANENT_FAILURE, Outcome.TRANSIENT_FAILURE, Outcome.UNKNOWN])
def test_a_message_that_may_have_been_delivered_never_fails(outcome: Outcome) -> None:
    """`failed` would state that the user was not greeted."""
    in_doubt = History(made=9, spent=9, unknown_for=timedelta(minutes=1))

    assert next_step(Answer(outcome, 0.1), in_doubt, PATIENT, latest) == NextStep(Status.UNKNOWN)


@pytest.mark.parametrize("history", [FIRST, LAST])
def test_with_hold_an_unknown_outcome_waits_for_a_person(history: History) -> None:
    """This holds for the first attempt and for the last."""
    assert next_step(Answer(Outcome.UNKNOWN, 0.1), history, HOLDING, latest) == NextStep(Status.UNKNOWN)


def test_with_hold_what_was_surely_not_taken_is_tried_again() -> None:
    """Only unknown outcomes are held."""
    assert next_step(Answer(Outcome.TRANSIENT_FAILURE, 0.1), FIRST, HOLDING, latest).status is Status.RETRYING


def test_a_message_in_doubt_is_called_only_while_its_key_is_remembered() -> None:
    """After that the service treats the same key as new, and the user is greeted twice."""
    just, over = (History(1, 1, PATIENT.key_lasts + by) for by in (timedelta(seconds=-1), timedelta(0)))

    assert (may_call(FIRST, PATIENT), may_call(just, PATIENT), may_call(over, PATIENT)) == (True, True, False)


def test_a_retry_that_would_come_after_the_key_is_forgotten_is_not_made() -> None:
    """It would end when it is due. This way an operator can decide now."""
    nearly = History(made=1, spent=1, unknown_for=PATIENT.key_lasts - timedelta(seconds=1))

    soon = next_step(Answer(Outcome.TRANSIENT_FAILURE, 0.1), nearly, PATIENT, lambda: 0.1)
    late = next_step(Answer(Outcome.TRANSIENT_FAILURE, 0.1), nearly, PATIENT, latest)

    assert (soon.status, late) == (Status.RETRYING, NextStep(Status.UNKNOWN))


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("policy", [PATIENT, HOLDING], ids=["resend", "hold"])
@pytest.mark.parametrize("history", [FIRST, LAST])
def test_every_next_step_is_a_legal_move(outcome: Outcome, policy: RetryPolicy, history: History) -> None:
    """The schema would refuse another, and the outcome would not be recorded."""
    assert next_step(Answer(outcome, 0.1), history, policy, latest).status in MOVES[Status.SENDING]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "not_attempted"),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1), "no_connection"),
        (Answer(Outcome.UNKNOWN, 0.1), "no_answer"),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 429, throttled=True), "slow_down"),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 503, throttled=True), "slow_down"),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 503), "server_error"),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 401), "other_answer"),
    ],
)
def test_each_answer_has_one_reason_for_a_retry(answer: Answer | None, reason: str) -> None:
    """The metric distinguishes an outage from a throttle."""
    assert retry_reason(answer) == reason
