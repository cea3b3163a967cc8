"""What RabbitMQ holds, in memory: one queue of bundles, one of dead letters, and who has taken what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from service.adapters.rabbitmq.topology import DELIVERY_LIMIT


@dataclass(slots=True)
class Parcel:
    """A message of the broker: its place in the queue, its body, its header, and how often it came back."""

    number: int
    body: bytes
    traceparent: str | None = None
    returns: int = 0


class Consumes(Protocol):
    """A connection that consumes."""

    unacknowledged: dict[int, Parcel]

    def has_room(self) -> bool:
        """Whether it may be handed one more."""

    def hand(self, parcel: Parcel) -> None:
        """Take one more."""

    def end(self, *, deleted: bool) -> None:
        """The connection is lost, or its queue `deleted`: nothing in hand is its own any more."""


@dataclass(slots=True)
class Broker:
    """The queue: `ready` in order, what was handed out with its consumer until it is acknowledged."""

    ready: list[Parcel] = field(default_factory=list)
    dead: list[bytes] = field(default_factory=list)
    exists: bool = False
    consumers: deque[Consumes] = field(default_factory=deque)
    published: int = 0

    def publish(self, body: bytes, *, traceparent: str | None = None) -> None:
        """Take a bundle; a queue that somebody deleted is made again."""
        self.exists = True
        self.published += 1
        self.ready.append(Parcel(self.published, body, traceparent))
        self.hand_out()

    def consume(self, consumer: Consumes) -> None:
        """Let it have its share from now on."""
        self.exists = True
        self.consumers.append(consumer)
        self.hand_out()

    def hand_out(self) -> None:
        """Hand what is ready to the consumers in turn, as far as they have room."""
        while self.ready and (free := next((one for one in self.consumers if one.has_room()), None)) is not None:
            self.consumers.remove(free)
            self.consumers.append(free)
            free.hand(self.ready.pop(0))

    def cut(self, consumer: Consumes) -> None:
        """Its connection is lost: what it had not acknowledged is ready again, in its old place."""
        returned = list(consumer.unacknowledged.values())
        if consumer in self.consumers:
            self.consumers.remove(consumer)
        consumer.end(deleted=False)
        for parcel in returned:
            parcel.returns += 1
        self.dead += [parcel.body for parcel in returned if parcel.returns > DELIVERY_LIMIT]
        self.ready += [parcel for parcel in returned if parcel.returns <= DELIVERY_LIMIT]
        self.ready.sort(key=lambda parcel: parcel.number)
        self.hand_out()

    def restart(self) -> None:
        """Lose every connection, and keep what is in the queues."""
        consumers, self.consumers = list(self.consumers), deque()
        for consumer in consumers:
            self.cut(consumer)

    def purge(self) -> None:
        """Empty the queue; what was handed out stays with its consumers."""
        self.ready.clear()

    def delete(self) -> None:
        """Delete the queue with everything in it; its consumers are told."""
        self.exists = False
        self.ready.clear()
        consumers, self.consumers = list(self.consumers), deque()
        for consumer in consumers:
            consumer.end(deleted=True)
