"""What the actors need from the outside world, as protocols, and the one error that means "not now".

Adapters translate their library's exceptions into `Unavailable` at the border, always `from` the original.
Every method here has a deadline inside its adapter: none may wait for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer


class Unavailable(Exception):
    """A server that heyday depends on is away: wait and try again. It is an outage, not a bug."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(f"{system} is unavailable: {reason}")
        self.system = system
        self.reason = reason


class Emptied(Exception):
    """A store has lost what it held: the work in it has to be seeded again from the rows."""


class CircuitOpen(Exception):
    """The circuit is open: nothing was sent and no attempt was spent."""


# --- Redis streams: distribution of work -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream entry that this node has claimed and not yet finished."""

    id: str
    body: str


@dataclass(frozen=True, slots=True)
class StreamState:
    """Figures of one stream: entries in it, and how many are pending (claimed, not finished) by consumer."""

    length: int
    pending: dict[str, int]


class WorkStream(Protocol):
    """A stream with the consumer group `nodes`, seen by one node, whose id is its consumer name.

    An entry is delivered to one consumer and stays pending until `finish`; it is deleted then, so a stream is
    as long as the work in it.
    """

    name: str

    async def open(self) -> None:
        """Make stream and group where they do not exist. Raises Unavailable."""

    async def append(self, bodies: Sequence[str]) -> None:
        """Append an entry per body, in one round trip. Raises Unavailable."""

    async def read(self, *, count: int, block: float) -> list[Entry]:
        """Claim up to `count` new entries, waiting up to `block` seconds for the first.

        Raises Unavailable; Emptied after finding the group gone and making it again.
        """

    async def unfinished(self, *, count: int) -> list[Entry]:
        """The oldest entries this node had claimed and not finished: read at (re)start. Raises Unavailable."""

    async def finish(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and delete, in one round trip. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> int:
        """Put back entries of consumers that are not `living`, and of any consumer once idle for `idle` seconds.

        Consumers not living are removed once they have nothing pending. Returns how many entries were put back.
        Raises Unavailable.
        """

    async def state(self) -> StreamState:
        """Length and pending entries. Raises Unavailable."""


# --- The delivery queue: durable, external ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bundle of message ids taken from the delivery queue; `receipt` is the adapter's own."""

    ids: tuple[UUID, ...]
    receipt: object


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Bundles ready, bundles taken and not acknowledged (None: the broker does not say), and dead letters."""

    ready: int
    unacknowledged: int | None
    dead: int


class DeliveryQueue(Protocol):
    """A durable queue of bundles of message ids, delivered at least once."""

    async def open(self) -> None:
        """Connect and declare the topology. Raises Unavailable."""

    async def publish(self, bundles: Sequence[Sequence[UUID]]) -> None:
        """Publish every bundle and return when the broker has confirmed them all.

        Raises Unavailable when any is unconfirmed: which ones were taken is then unknown, and all may be
        published again.
        """

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds. Malformed ones go to the dead letters.

        Raises Unavailable; the next call connects and consumes anew.
        """

    async def acknowledge(self, delivery: Delivery) -> None:
        """Forget the delivery. A receipt whose channel is gone is ignored: the broker delivers it again."""

    async def pause(self) -> None:
        """Stop consuming and give back what was taken and not yet received; the next `receive` consumes again."""

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Leave a copy of failed messages with the dead letters, confirmed. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Put back what nodes that are not `living` had taken; 0 where the broker does that itself."""

    async def depth(self) -> QueueDepth:
        """How much is in the queue. Raises Unavailable."""

    async def close(self) -> None:
        """Close connections; what was not acknowledged is delivered again."""


# --- The email service -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greeting:
    """What leaves: the text for an address, under the key that stays the same on every attempt."""

    id: UUID
    email: str
    text: str


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

    async def send(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        While the circuit is half open, one trial is under way at a time and other callers wait for its result.
        Raises CircuitOpen when nothing was sent.
        """

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the circuit not to be open; False when it still is."""


class RateLimit(Protocol):
    """The rate at which all nodes together may call the email service."""

    async def reserve(self, count: int) -> list[float]:
        """Reserve `count` calls and return for each the seconds to wait from now, in order."""


# --- Redis: locks and dedupe keys ------------------------------------------------------------------------------


class Locks(Protocol):
    """Named locks with fencing numbers. A lock spares work; it never decides: the rows do."""

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        """Take the lock for `ttl` seconds. Returns a fencing number greater than `above` and than every number
        given out before (as far as the store remembers), or None when another holds it. Raises Unavailable."""

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        """Hold on to it; False when it is no longer ours. Raises Unavailable."""

    async def release(self, name: str, number: int) -> None:
        """Give it up if it is ours. Raises Unavailable."""


class AcceptedKeys(Protocol):
    """Which messages the email service has accepted, remembered before the row says so.

    It narrows the window between acceptance and record after a crash. Losing it costs nothing but that.
    `day` is the UTC date of the message's send_at, which never changes between two attempts of one claim.
    """

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """Those of the messages that were accepted before. Raises Unavailable."""

    async def remember(self, messages: Sequence[tuple[UUID, date]]) -> None:
        """Remember these as accepted. Raises Unavailable."""
