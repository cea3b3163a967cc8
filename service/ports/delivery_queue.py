"""The durable queue between the dispatcher and delivery."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bundle of message ids taken from the delivery queue; `receipt` is the adapter's own, `traceparent` what its
    publisher said of its trace."""

    ids: tuple[UUID, ...]
    receipt: object
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Bundles ready, bundles taken and not acknowledged (None: unknown), and dead letters.

    `taken_by` has the bundles of each node, if the queue knows them.
    """

    ready: int
    unacknowledged: int | None
    dead: int
    taken_by: Mapping[str, int] = field(default_factory=dict, compare=False)


class DeliveryQueue(Protocol):
    """A durable queue of bundles of message ids, delivered at least once."""

    async def open(self) -> None:
        """Connect and declare the topology. Raises Unavailable."""

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        """Publish every bundle and return when the broker has confirmed them all; `traceparent` travels with them.

        Raises Unavailable when any is unconfirmed: which ones were taken is then unknown, and all may be
        published again.
        """

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds. Malformed ones go to the dead letters.

        Raises Unavailable; the next call connects and consumes anew.
        """

    async def acknowledge(self, delivery: Delivery) -> None:
        """Delete the delivery. A receipt whose channel is gone is ignored, and the broker delivers it again."""

    async def pause(self) -> None:
        """Stop consuming and give back what was taken and not yet received; the next `receive` consumes again."""

    async def dead_letter(self, ids: Sequence[UUID]) -> None:
        """Publish copies of failed messages to the dead letters, with confirms. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Put back the bundles of nodes that are not `living`. 0 if the broker does that itself."""

    async def depth(self) -> QueueDepth:
        """The bundles and dead letters in the queue. Raises Unavailable."""

    async def close(self) -> None:
        """Close connections; what was not acknowledged is delivered again."""
