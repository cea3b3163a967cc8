"""Retry, back-pressure, the moves of a message, and when two addresses are one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.domain.messages import MOVES, REDRIVABLE, UNSENT, Answer, Outcome, Status
from service.domain.pressure import HORIZON, LEAST, MOST, Pressure
from service.domain.retry import RetryPolicy, Verdict, verdict
from service.domain.users import email_key

POLICY = RetryPolicy(attempts=5, base=timedelta(seconds=1), limit=timedelta(seconds=60), hold=False)
HOLD = RetryPolicy(attempts=5, base=timedelta(seconds=1), limit=timedelta(seconds=60), hold=True)


def half() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("outcome", "spent", "policy", "status"),
    [
        (Outcome.ACCEPTED, 9, POLICY, Status.SENT),
        (Outcome.REFUSED, 1, POLICY, Status.FAILED),
        (Outcome.REJECTED, 4, POLICY, Status.RETRYING),
        (Outcome.REJECTED, 5, POLICY, Status.FAILED),
        (Outcome.UNKNOWN, 4, POLICY, Status.RETRYING),
        (Outcome.UNKNOWN, 5, POLICY, Status.FAILED),
        (Outcome.UNKNOWN, 1, HOLD, Status.UNKNOWN),
        (Outcome.UNKNOWN, 5, HOLD, Status.UNKNOWN),
        (Outcome.REJECTED, 1, HOLD, Status.RETRYING),
    ],
)
def test_what_follows_an_attempt(outcome: Outcome, spent: int, policy: RetryPolicy, status: Status) -> None:
    """A refusal is final, a rejection is tried again while attempts are left, a held outcome waits for a person."""
    assert verdict(Answer(outcome, 0.1), spent, policy, half).status is status


@pytest.mark.parametrize(("spent", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)])
def test_waits_double(spent: int, seconds: float) -> None:
    """A hot loop of 35 calls a minute is what there was without."""
    assert verdict(Answer(Outcome.REJECTED, 0.1), spent, POLICY, half) == Verdict(
        Status.RETRYING, timedelta(seconds=seconds)
    )


def test_a_wait_is_never_longer_than_the_limit_however_many_attempts_there_were() -> None:
    """Two to the power of a thousand seconds is no duration."""
    assert POLICY.bound(1_000) == timedelta(seconds=60)


@pytest.mark.parametrize("share", [0.0, 0.999])
def test_a_wait_is_never_shorter_than_the_service_asked_for(share: float) -> None:
    """Retry-After is honoured whatever the dice say."""
    answer = Answer(Outcome.REJECTED, 0.1, 503, retry_after=timedelta(seconds=7))

    assert verdict(answer, 1, POLICY, lambda: share).delay >= timedelta(seconds=7)


def test_a_little_work_may_always_be_on_its_way_and_never_more_than_the_most() -> None:
    """Enough to find out how fast it is done; a bound for the streams and the queue."""
    pressure = Pressure()
    assert pressure.room() == LEAST

    pressure.handed_out(LEAST)
    assert pressure.room() == 0

    for second in range(1, 200):
        pressure.measured(1, float(second))
        pressure.handed_out(1_000_000)
    pressure.measured(1, 200.0)
    assert pressure.room() == MOST - 1


def test_the_room_is_half_a_minute_of_work_at_the_rate_it_is_done() -> None:
    """Measured from what is left of what was handed out."""
    pressure = Pressure()

    for second in range(100):
        pressure.measured(1_000, float(second))
        pressure.handed_out(500)  # so 500 a second are done
    pressure.measured(1_000, 100.0)

    assert pressure.rate == pytest.approx(500, rel=0.01)
    assert pressure.room() == pytest.approx(500 * HORIZON - 1_000, rel=0.01)


def test_idle_time_says_nothing_about_the_rate() -> None:
    """After a quiet night the first wave is not throttled by it."""
    pressure = Pressure()
    pressure.measured(0, 0.0)
    pressure.handed_out(1_000)
    pressure.measured(500, 1.0)
    pressure.measured(0, 2.0)
    rate = pressure.rate

    pressure.measured(0, 10_000.0)

    assert pressure.rate == rate


def test_every_state_has_its_moves_and_every_move_leads_to_a_state() -> None:
    """Nothing is ever stuck but by intent: from every state that is no end there is a way to be sent."""
    assert set(MOVES) == set(Status)

    def reachable(start: Status) -> set[Status]:
        seen, front = {start}, {start}
        while front:
            front = {after for state in front for after in MOVES[state]} - seen
            seen |= front
        return seen

    for status in UNSENT | REDRIVABLE | {Status.SENDING, Status.CANCELLED}:
        assert Status.SENT in reachable(status), status
    assert MOVES[Status.SENT] == frozenset()


@pytest.mark.parametrize("status", sorted(REDRIVABLE))
def test_what_a_person_may_redrive_goes_through_the_schedule(status: Status) -> None:
    """And not past the claims."""
    assert MOVES[status] == {Status.SCHEDULED}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.COM"),
        ("STRASSE@example.com", "stra\N{LATIN SMALL LETTER SHARP S}e@example.com"),
        ("e\N{COMBINING ACUTE ACCENT}@example.com", "\N{LATIN CAPITAL LETTER E WITH ACUTE}@example.com"),
    ],
)
def test_addresses_that_differ_in_case_or_composition_are_one(one: str, other: str) -> None:
    """In an earlier system they were two users, greeted twice."""
    assert email_key(one) == email_key(other)


def test_different_addresses_stay_different() -> None:
    """A dot or a tag may be another person."""
    assert len({email_key(each) for each in ("a.da@example.com", "ada@example.com", "ada+1@example.com")}) == 3
