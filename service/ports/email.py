"""The external email service, behind its circuit breaker and its rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer, UnavailableReason


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Greeting:
    """The text for an address, under the key that stays the same on every attempt.

    `traceparent` tells the service of the attempt's trace. `private` is what no description of an answer may repeat.
    `subject` is for services that send an email with one. `allowed` is asked before the first byte is written,
    because a connection may take seconds.
    """

    id: UUID
    email: str
    text: str
    traceparent: str | None = None
    private: tuple[str, ...] = ()
    subject: str = ""
    allowed: Callable[[], bool] = field(default=_always, compare=False)


class CircuitState(IntEnum):
    """The states of a circuit breaker; the values are those of `circuit_breaker_state`."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Circuit(Protocol):
    """The circuit breaker before an email service, or before two of them: then it is open while both are away."""

    @property
    def circuit(self) -> CircuitState:
        """The state of the circuit."""

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the circuit not to be open; False when it still is."""


class EmailService(Circuit, Protocol):
    """The external service behind its circuit breaker."""

    @property
    def failures_in_a_row(self) -> int:
        """Failures that count against the circuit since the last success."""

    @property
    def unavailable(self) -> UnavailableReason | None:
        """The reason why the circuit is not closed; None while it is."""

    @property
    def wants_trial(self) -> bool:
        """True while the circuit is half open and no trial is under way."""

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        `last_attempt` is when the attempt before this one ended, by the loop's clock, None without one. The Answer says
        whether this attempt is spent, and calls a refusal final, only if the service accepts others.

        While the circuit is half open, one trial is under way at a time and other callers wait for its result; they are
        asked after the wait whether the greeting is still `allowed` to leave. Without `wait` they get CircuitOpen at
        once. Raises CircuitOpen when nothing was sent.
        """


class RateLimit(Protocol):
    """The rate at which all nodes together may call the email service: the configured one, or less while the service
    asks for fewer calls. No method raises Unavailable."""

    @property
    def epoch(self) -> Hashable:
        """Changes when a throttle lowers the rate, and with the configured rate. Places reserved before are void."""

    def configure(self, per_second: float | None, version: int) -> None:
        """Use another configured rate from now on, None for none. A later change has a higher version.

        Nodes that have not read the change yet reserve by it, too. Calls by the earlier rate and by the new one
        together never come faster than one of the two.
        """

    @property
    def per_second(self) -> float:
        """The calls a second that all nodes may make now; infinite without a limit, 0 during a pause."""

    @property
    def grace(self) -> float:
        """Seconds by which a call may be later than its place. Beyond that the place is gone: calls that were held up
        and then left together, among those whose places are now, would be more than the rate."""

    async def reserve(self, count: int, *, ahead: float = math.inf, within: float = math.inf) -> list[float]:
        """Reserve `count` calls and return for each the seconds to wait from now, in order.

        No more are reserved than may begin in `ahead` seconds at the rate of all nodes, but one at least: this node may
        not know yet how low that is, and the places of a low rate would outlast it. None is reserved if the first would
        have to wait longer than `within` seconds.
        """

    def accepted(self) -> None:
        """Count an accepted call: it tells how much the service takes."""

    async def throttled(self, retry_after: timedelta | None) -> None:
        """Lower the rate of all nodes: the service asks for fewer calls, and for none during `retry_after`."""
