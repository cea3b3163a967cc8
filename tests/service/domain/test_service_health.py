"""Tests which answers are about one message, and which are about the email service."""

from __future__ import annotations

from random import Random

import pytest

from service.domain.messages import Answer, Outcome, UnavailableReason
from service.domain.service_health import ServiceHealth, reason_of

ACCEPTED = Answer(Outcome.ACCEPTED, 0.1, 200)
REFUSED = Answer(Outcome.PERMANENT_FAILURE, 0.1, 422)
BUSY = Answer(Outcome.TRANSIENT_FAILURE, 0.1, 503)
NO_ANSWER = Answer(Outcome.UNKNOWN, 10.0, timed_out=True)
THROTTLED = Answer(Outcome.TRANSIENT_FAILURE, 0.1, 429, throttled=True)


class Calls:
    """One call each second."""

    def __init__(self, refusals: int = 20) -> None:
        self.health = ServiceHealth(refusals)
        self.now = 0.0

    def call(self, answer: Answer, *, last_attempt: float | None = None, took: float = 0.5) -> Answer:
        self.now += 1
        return self.health.judge(answer, began=self.now - took, last_attempt=last_attempt, at=self.now)


@pytest.mark.parametrize("answer", [BUSY, NO_ANSWER])
def test_while_the_service_accepts_no_message_no_attempt_is_spent(answer: Answer) -> None:
    """An outage must not spend the attempts of messages."""
    calls = Calls()
    calls.call(ACCEPTED)
    last = calls.now

    judged = [calls.call(answer, last_attempt=last + number) for number in range(50)]

    assert {one.spent for one in judged} == {False}
    assert {one.outcome for one in judged} == {answer.outcome}


@pytest.mark.parametrize("answer", [BUSY, NO_ANSWER])
def test_an_attempt_is_spent_when_others_were_accepted_since_the_one_before(answer: Answer) -> None:
    """Then the failure is about this message."""
    calls = Calls()
    before = calls.now
    calls.call(ACCEPTED)

    spent = calls.call(answer, last_attempt=before).spent
    again = calls.call(answer, last_attempt=calls.now).spent

    assert (spent, again) == (True, False)


def test_a_first_attempt_is_spent_when_another_is_accepted_during_its_call() -> None:
    """An earlier acceptance does not count, because the service may have gone down since."""
    calls = Calls()
    calls.call(ACCEPTED)
    after = calls.call(BUSY)
    calls.call(ACCEPTED)
    during = calls.call(BUSY, took=1.5)

    assert (after.spent, during.spent) == (False, True)


def test_a_throttle_spends_nothing_and_is_no_sign_of_ill_health() -> None:
    """The service works, and the rate is too high."""
    calls = Calls()
    calls.call(ACCEPTED)

    judged = [calls.call(THROTTLED, last_attempt=0.0) for _ in range(100)]

    assert not any(one.spent for one in judged)
    assert calls.health.reason is None
    assert calls.call(BUSY, last_attempt=0.0).spent


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_service_that_fails_at_random_exhausts_no_message(share: float) -> None:
    """At 50 % errors, ten attempts would fail one message in a thousand."""
    random, calls = Random(3), Calls()
    waiting: list[tuple[float | None, int]] = [(None, 0)] * 5_000
    most_spent = 0

    while waiting:
        last_attempt, spent = waiting.pop(0)
        answer = calls.call(BUSY if random.random() < share else ACCEPTED, last_attempt=last_attempt)
        if answer.outcome is not Outcome.ACCEPTED:
            spent += answer.spent
            most_spent = max(most_spent, spent)
            waiting.append((calls.now, spent))

    assert most_spent < 5


def test_a_message_that_alone_is_not_taken_exhausts_its_attempts() -> None:
    """It must not be called for two days while all others are accepted."""
    calls = Calls()
    last_attempt: float | None = None
    spent = tries = 0

    while spent < 10 and tries < 20:
        calls.call(ACCEPTED)
        spent += calls.call(BUSY, last_attempt=last_attempt).spent
        last_attempt = calls.now
        tries += 1

    assert spent == 10


def test_while_the_service_accepts_no_message_only_a_few_are_refused() -> None:
    """An error in a text is answered 400 for every message. All but the first few wait for the correction."""
    calls = Calls(refusals=3)

    judged = [calls.call(REFUSED) for _ in range(10)]

    assert [one.outcome for one in judged[:3]] == [Outcome.PERMANENT_FAILURE] * 3
    assert [(one.outcome, one.spent) for one in judged[3:]] == [(Outcome.TRANSIENT_FAILURE, False)] * 7


def test_an_acceptance_lets_refusals_be_final_again() -> None:
    """Each is then about its own message."""
    calls = Calls(refusals=1)

    judged = []
    for _ in range(10):
        calls.call(ACCEPTED)
        judged.append(calls.call(REFUSED).outcome)

    assert judged == [Outcome.PERMANENT_FAILURE] * 10


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REFUSED, UnavailableReason.REFUSING),
        (BUSY, UnavailableReason.REFUSING),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 404), UnavailableReason.REFUSING),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 401), UnavailableReason.NOT_AUTHORISED),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 403), UnavailableReason.NOT_AUTHORISED),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1, 408), UnavailableReason.TOO_SLOW),
        (NO_ANSWER, UnavailableReason.TOO_SLOW),
        (Answer(Outcome.TRANSIENT_FAILURE, 10.0, timed_out=True), UnavailableReason.UNREACHABLE),
        (Answer(Outcome.UNKNOWN, 0.1), UnavailableReason.UNREACHABLE),
        (Answer(Outcome.TRANSIENT_FAILURE, 0.1), UnavailableReason.UNREACHABLE),
    ],
)
def test_each_failure_has_one_reason(answer: Answer, reason: UnavailableReason) -> None:
    """An operator needs it at night: waiting does not repair a wrong key."""
    assert reason_of(answer) is reason


def test_the_reason_is_the_most_frequent_one_until_a_message_is_accepted() -> None:
    """One time-out among fifty wrong keys is not the reason."""
    calls = Calls()
    for _ in range(5):
        calls.call(Answer(Outcome.TRANSIENT_FAILURE, 0.1, 401))
    calls.call(NO_ANSWER)
    before = calls.health.reason

    calls.call(ACCEPTED)

    assert (before, calls.health.reason) == (UnavailableReason.NOT_AUTHORISED, None)
