"""Runs one actor alone: the context of its node, its supervisor, and an email service that accepts everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from actors.context import NodeContext
from actors.runtime import Actor, Address, Backoff, ChildSpec, Supervisor
from service.domain.messages import Answer, Outcome, UnavailableReason
from service.domain.retry import RetryPolicy
from service.node.clock import BusinessClock
from service.node.email_services import EmailPath, EmailServices
from service.node.lease import Lease
from service.node.outages import Outages
from service.node.sending_holds import SendingHolds
from service.ports import CircuitState, EmailService, Greeting, RateLimit
from service.telemetry.metrics import Metrics
from tests.fakes.coordination import FakeRateLimit
from tests.fakes.redis_memory import RedisMemory
from tests.service.node.steady import Steady

M = TypeVar("M")

NOW = datetime(2027, 3, 14, 9, tzinfo=UTC)

INCARNATION = 7


def node_context(steady: Steady | None = None, *, metrics: Metrics | None = None) -> NodeContext:
    """Make a context whose lease has just been renewed for `INCARNATION`, and whose clocks are `steady`."""
    steady = steady or Steady()
    lease = Lease(steady)
    lease.renew(INCARNATION, steady.at)
    # Read once with a stopped clock, so nothing is ever held.
    holds = SendingHolds(lambda: 0.0)
    holds.renew([], 0.0)
    return NodeContext(
        lease=lease,
        clock=BusinessClock(steady),
        outages=Outages(steady),
        metrics=metrics or Metrics(),
        holds=holds,
    )


def alone(make: Callable[[], Actor[M]], address: Address[M]) -> Supervisor:
    """Put one actor under a supervisor that restarts it at once."""
    return Supervisor("stage", [ChildSpec("actor", make, address)], backoff=Backoff(random=lambda: 0.0))


class AcceptingEmailService:
    """An email service whose circuit stays closed, and which accepts every greeting."""

    circuit = CircuitState.CLOSED
    failures_in_a_row = 0
    unavailable: UnavailableReason | None = None

    async def admits(self, *, within: float) -> bool:
        return True

    wants_trial = False

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        return Answer(Outcome.ACCEPTED, 0.01)


def only_service(email: EmailService | None = None, rate: RateLimit | None = None) -> EmailServices:
    """Return email services of which one is there, with `rate` or no limit, and three attempts."""
    policy = RetryPolicy(attempts=3, base=timedelta(seconds=1), limit=timedelta(seconds=1), hold=False)
    unlimited = FakeRateLimit(RedisMemory(monotonic=lambda: 0.0), None)
    return EmailServices(EmailPath(email or AcceptingEmailService(), rate or unlimited, policy))
