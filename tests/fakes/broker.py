"""RabbitMQ in memory: a queue of bundles, a queue of dead letters, and the bundles that each consumer has taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from service.adapters.rabbitmq.topology import DELIVERY_LIMIT


@dataclass(slots=True)
class QueuedBundle:
    """A message of the broker: its place in the queue, its body, its header, and how often it came back."""

    number: int
    body: bytes
    traceparent: str | None = None
    returns: int = 0


class Consumes(Protocol):
    """A connection that consumes."""

    unacknowledged: dict[int, QueuedBundle]

    def has_room(self) -> bool:
        """True if it may be handed one more bundle."""

    def hand(self, bundle: QueuedBundle) -> None:
        """Take one more bundle."""

    def end(self, *, deleted: bool) -> None:
        """End the connection, or its queue was `deleted`: the bundles in hand are no longer its own."""


@dataclass(slots=True)
class Broker:
    """The queue: `ready` bundles in order, and the consumer of each bundle that is not acknowledged."""

    ready: list[QueuedBundle] = field(default_factory=list)
    dead: list[bytes] = field(default_factory=list)
    exists: bool = False
    consumers: deque[Consumes] = field(default_factory=deque)
    published: int = 0
    swallows: bool = False
    """True while it confirms what is published and loses it (rabbitmq-server#17504)."""

    def publish(self, body: bytes, *, traceparent: str | None = None) -> None:
        """Append a bundle; a deleted queue is created again."""
        self.exists = True
        self.published += 1
        if self.swallows:
            return
        self.ready.append(QueuedBundle(self.published, body, traceparent))
        self.hand_out()

    def consume(self, consumer: Consumes) -> None:
        """Register a consumer, which gets its share from now on."""
        self.exists = True
        self.consumers.append(consumer)
        self.hand_out()

    def hand_out(self) -> None:
        """Give ready bundles to the consumers in turn, within their prefetch."""
        while self.ready and (free := next((one for one in self.consumers if one.has_room()), None)) is not None:
            self.consumers.remove(free)
            self.consumers.append(free)
            free.hand(self.ready.pop(0))

    def cut(self, consumer: Consumes) -> None:
        """Cut the consumer's connection: bundles that it did not acknowledge are ready again, at their old place."""
        returned = list(consumer.unacknowledged.values())
        if consumer in self.consumers:
            self.consumers.remove(consumer)
        consumer.end(deleted=False)
        for bundle in returned:
            bundle.returns += 1
        self.dead += [bundle.body for bundle in returned if bundle.returns > DELIVERY_LIMIT]
        self.ready += [bundle for bundle in returned if bundle.returns <= DELIVERY_LIMIT]
        self.ready.sort(key=lambda bundle: bundle.number)
        self.hand_out()

    def restart(self) -> None:
        """Cut every connection, and keep the queues."""
        consumers, self.consumers = list(self.consumers), deque()
        for consumer in consumers:
            self.cut(consumer)

    def purge(self) -> None:
        """Empty the queue. Bundles that were handed out stay with their consumers."""
        self.ready.clear()

    def delete(self) -> None:
        """Delete the queue with its bundles, and cancel its consumers."""
        self.exists = False
        self.ready.clear()
        consumers, self.consumers = list(self.consumers), deque()
        for consumer in consumers:
            consumer.end(deleted=True)
