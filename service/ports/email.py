"""The external email service, behind its circuit breaker and its rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer


@dataclass(frozen=True, slots=True)
class Greeting:
    """What leaves: the text for an address, under the key that stays the same on every attempt; `traceparent` tells the
    service of the attempt's trace."""

    id: UUID
    email: str
    text: str
    traceparent: str | None = None


class CircuitState(IntEnum):
    """The states of a circuit breaker; the values are those of `circuit_breaker_state`."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class EmailService(Protocol):
    """The external service behind its circuit breaker."""

    @property
    def circuit(self) -> CircuitState:
        """The state of the circuit."""

    async def send(self, greeting: Greeting, *, allowed: Callable[[], bool] = ...) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        While the circuit is half open, one trial is under way at a time and other callers wait for its result; they are
        asked after the wait whether they are still `allowed` to send. Raises CircuitOpen when nothing was sent.
        """

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the circuit not to be open; False when it still is."""


class RateLimit(Protocol):
    """The rate at which all nodes together may call the email service."""

    @property
    def grace(self) -> float:
        """Seconds by which a call may be later than its place. Beyond that the place is gone: calls that were held up
        and then left together, among those whose places are now, would be more than the rate."""

    async def reserve(self, count: int) -> list[float]:
        """Reserve `count` calls and return for each the seconds to wait from now, in order."""
