"""Streams that distribute work: nodes claim their entries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream entry that this node has claimed and not yet finished; `traceparent` is that of its sender, or None."""

    id: str
    body: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """The entries of one stream, the pending ones (claimed, not finished) by consumer, and the age of the oldest.

    The age is in seconds since that entry was appended.
    """

    length: int
    pending: dict[str, int]
    oldest_pending: float = 0.0


@dataclass(frozen=True, slots=True)
class Requeued:
    """The number of abandoned entries that were put back, and the bodies of those with too many tries."""

    entries: int
    given_up: tuple[str, ...]


class WorkStream(Protocol):
    """A stream with the consumer group `nodes`, seen by one node, whose `NodeName` is its consumer name.

    An entry is delivered to one consumer and stays pending until `finish`; it is deleted then, so a stream is
    as long as the work in it.
    """

    name: str

    async def open(self) -> None:
        """Make stream and group where they do not exist. Raises Unavailable."""

    async def append(self, bodies: Sequence[str], *, traceparent: str | None = None) -> None:
        """Append an entry per body, in one round trip; `traceparent` travels with each. Raises Unavailable."""

    async def read(self, *, count: int, block: float) -> list[Entry]:
        """Claim up to `count` new entries, waiting up to `block` seconds for the first.

        Raises Unavailable; Emptied after finding the group gone and making it again.
        """

    async def unfinished(self, *, count: int) -> list[Entry]:
        """The oldest entries that this node has claimed and not finished, read after a start. Raises Unavailable."""

    async def finish(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and delete, in one round trip. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        """Put back entries of consumers that are not `living`, and of any consumer once idle for `idle` seconds.

        Consumers not living are removed once they have nothing pending. This node always counts as living.
        Raises Unavailable; Emptied after finding the group gone and making it again.
        """

    async def state(self) -> StreamState:
        """Length and pending entries. Raises Unavailable."""
