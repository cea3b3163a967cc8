"""The choice between two email services, by the states of their circuits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from service.domain.messages import Answer, EmailServiceName, Status
from service.domain.retry import FIRST, RetryPolicy
from service.node.email_services import NOT_SENT, TRIAL_PATIENCE, EmailPath, EmailServices
from service.ports import CircuitState, Claim, Claimed, Greeting, RateLimit
from tests.service.node.steady import Steady

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
PRIMARY, FALLBACK = EmailServiceName.PRIMARY, EmailServiceName.FALLBACK
PUT_OFF = timedelta(seconds=15)
IDS = [UUID(int=number) for number in range(3)]


class Email:
    """An email service whose circuit is in one state."""

    failures_in_a_row = 0
    unavailable = None

    def __init__(self, circuit: CircuitState) -> None:
        self.circuit = circuit
        self.wants_trial = circuit is HALF_OPEN

    async def admits(self, *, within: float) -> bool:
        return self.circuit is not OPEN

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        raise AssertionError("nothing is sent here")


def services(primary: CircuitState, fallback: CircuitState | None, steady: Steady | None = None) -> EmailServices:
    policy = RetryPolicy(attempts=3, base=timedelta(seconds=1), limit=timedelta(seconds=1), hold=False)
    no_rate = cast("RateLimit", Any)
    paths = [EmailPath(Email(one), no_rate, policy) for one in (primary, fallback) if one is not None]
    return EmailServices(*paths, put_off=PUT_OFF, steady=steady or Steady())


def claimed(service: EmailServiceName, *, pinned: bool) -> Claimed:
    now = datetime(2027, 3, 14, 9, tzinfo=UTC)
    claim = Claim(IDS[0], 2027, 2, 7, service)
    return Claimed(claim, FIRST, now, "birthday", "Ada", "L", "ada@a.test", "Hey", pinned=pinned)


@pytest.mark.parametrize(
    ("primary", "fallback", "preferred", "circuit"),
    [
        (CLOSED, None, PRIMARY, CLOSED),
        (OPEN, None, PRIMARY, OPEN),
        (CLOSED, CLOSED, PRIMARY, CLOSED),
        (CLOSED, OPEN, PRIMARY, CLOSED),
        (OPEN, CLOSED, FALLBACK, CLOSED),
        (OPEN, HALF_OPEN, FALLBACK, HALF_OPEN),
        (HALF_OPEN, CLOSED, FALLBACK, CLOSED),
        (HALF_OPEN, OPEN, PRIMARY, HALF_OPEN),
        (OPEN, OPEN, PRIMARY, OPEN),
    ],
)
async def test_the_fallback_takes_over_only_while_the_first_circuit_is_not_closed(
    primary: CircuitState, fallback: CircuitState | None, preferred: EmailServiceName, circuit: CircuitState
) -> None:
    """While both are open nothing is consumed, as with one service."""
    pair = services(primary, fallback)

    assert (pair.preferred, pair.circuit) == (preferred, circuit)
    assert await pair.admits(within=1.0) == (circuit is not OPEN)


@pytest.mark.parametrize(
    ("primary", "to_fallback"),
    [(CLOSED, []), (OPEN, IDS), (HALF_OPEN, IDS[1:])],
)
def test_one_message_tries_the_first_service_again(primary: CircuitState, to_fallback: list[UUID]) -> None:
    """Otherwise the first service would never be used again. The others do not wait for the result."""
    assert list(services(primary, CLOSED).for_fallback(IDS)) == to_fallback


def test_a_trial_is_kept_for_a_message_that_only_the_first_service_may_get() -> None:
    """A trial that ends with a 500 leaves a message with an unknown outcome, so it uses one that already has it."""
    steady = Steady()
    pair = services(HALF_OPEN, CLOSED, steady)
    pair.not_sent(claimed(PRIMARY, pinned=True))

    kept = list(pair.for_fallback(IDS))
    steady.passes(PUT_OFF.total_seconds() + TRIAL_PATIENCE)

    assert kept == IDS
    assert list(pair.for_fallback(IDS)) == IDS[1:]


@pytest.mark.parametrize("service", EmailServiceName)
def test_a_message_that_only_an_absent_service_may_get_is_put_off(service: EmailServiceName) -> None:
    """It would be claimed and given back again and again. Others go to the other service at once."""
    pair = services(OPEN, OPEN)

    put_off = pair.not_sent(claimed(service, pinned=True))

    assert put_off.status is Status.RETRYING
    assert PUT_OFF <= put_off.delay <= 1.1 * PUT_OFF
    assert pair.not_sent(claimed(service, pinned=False)) == NOT_SENT


def test_a_node_without_a_fallback_puts_off_what_the_fallback_may_have_taken() -> None:
    """Other nodes may have a fallback. This node uses its only service as before."""
    alone = services(OPEN, None)

    assert alone.path(FALLBACK) is None
    assert alone.not_sent(claimed(FALLBACK, pinned=True)).delay >= PUT_OFF
    assert alone.not_sent(claimed(PRIMARY, pinned=True)) == NOT_SENT
