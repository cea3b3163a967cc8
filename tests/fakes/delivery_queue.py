"""The fake of the port `DeliveryQueue`: a node's connection to the broker, with up to `prefetch` bundles in hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.domain.bundles import Malformed, decode, encode
from service.ports import Delivery, Emptied, QueueDepth, Unavailable
from tests.fakes.broker import Broker, QueuedBundle
from tests.fakes.waiting import Bell


class FakeDeliveryQueue:
    """Implements `service.ports.DeliveryQueue`."""

    def __init__(self, broker: Broker, *, prefetch: int) -> None:
        self._broker = broker
        self._prefetch = prefetch
        self._consumer: _Consumer | None = None
        self._links: set[str] = set()
        """The two connections, one that publishes and one that delivers, if they exist."""
        self._was_there = self._was_emptied = False
        self._connected: list[_Consumer] = []
        """Every consumer of these connections. Paused ones still hold their received bundles."""

    async def open(self) -> None:
        self._connect("publishes")

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        for body in [encode(bundle) for bundle in bundles]:
            self._connect("publishes")
            self._publish(body, traceparent)

    async def receive(self, *, within: float) -> Delivery | None:
        until = asyncio.get_running_loop().time() + within
        if self._consumer is None:
            connected = "delivers" in self._links
            self._connect("delivers")
            if connected and not self._broker.exists:
                self._links.discard("delivers")
                raise Unavailable("rabbitmq", "no queue to consume from")
            self._consumer = _Consumer(self._prefetch)
            self._connected = [one for one in self._connected if one.unacknowledged]
            self._connected.append(self._consumer)
            self._broker.consume(self._consumer)
        consumer = self._consumer
        if self._was_emptied:
            self._was_emptied = False
            raise Emptied("the queue was deleted, and made again")
        while True:
            if consumer.ended is not None:
                if self._consumer is consumer:
                    self._consumer = None
                    self._links.discard("delivers")
                if isinstance(consumer.ended, Emptied):
                    # Reported once: the next connect must not report the missing queue again.
                    self._was_there = self._was_emptied = False
                raise consumer.ended
            if not consumer.in_hand:
                if not await consumer.changed.heard(until=until):
                    return None
                continue
            bundle = consumer.in_hand.popleft()
            try:
                return Delivery(decode(bundle.body), _Receipt(consumer, bundle), bundle.traceparent)
            except Malformed:
                self._broker.dead.append(bundle.body)
                self._forget(consumer, bundle)

    async def acknowledge(self, delivery: Delivery) -> None:
        assert isinstance(delivery.receipt, _Receipt)
        self._forget(delivery.receipt.consumer, delivery.receipt.bundle)

    async def pause(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None or consumer.ended is not None:
            return
        # It gets no more bundles. Received ones stay with their receivers, and the others are published again.
        consumer.paused = True
        while consumer.in_hand:
            bundle = consumer.in_hand.popleft()
            self._publish(bundle.body, bundle.traceparent)
            self._forget(consumer, bundle)

    async def dead_letter(self, ids: Sequence[UUID]) -> None:
        self._broker.dead += [encode([message]) for message in ids]

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        return 0

    async def depth(self) -> QueueDepth:
        self._connect("publishes")
        if not self._broker.exists:
            self._links.discard("publishes")
            raise Unavailable("rabbitmq", "the queue was deleted")
        return QueueDepth(len(self._broker.ready), None, len(self._broker.dead))

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        """Lose the connection, as when the node dies: unacknowledged bundles are delivered again."""
        connected, self._connected, self._consumer = self._connected, [], None
        self._links.clear()
        for consumer in connected:
            self._broker.cut(consumer)

    def _connect(self, link: str) -> None:
        """Connect if not connected, and create a missing queue."""
        if link not in self._links:
            self._links.add(link)
            self._declare()

    def _publish(self, body: bytes, traceparent: str | None) -> None:
        self._declare()
        self._broker.publish(body, traceparent=traceparent)

    def _declare(self) -> None:
        # A consumer is told of a deletion. If all consumers were disconnected, it is noticed here.
        self._was_emptied |= self._was_there and not self._broker.exists
        self._was_there = self._broker.exists = True

    def _forget(self, consumer: _Consumer, bundle: QueuedBundle) -> None:
        # A receipt whose connection is gone is ignored: the bundle is delivered again.
        consumer.unacknowledged.pop(bundle.number, None)
        self._broker.hand_out()


@dataclass(frozen=True, slots=True)
class _Receipt:
    """The consumer of a bundle."""

    consumer: _Consumer
    bundle: QueuedBundle


class _Consumer:
    """One connection that consumes until it ends. It is not used again."""

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self.unacknowledged: dict[int, QueuedBundle] = {}
        self.in_hand: deque[QueuedBundle] = deque()
        self.changed = Bell()
        self.paused = False
        self.ended: Exception | None = None

    def has_room(self) -> bool:
        return not self.paused and len(self.unacknowledged) < self._prefetch

    def hand(self, bundle: QueuedBundle) -> None:
        self.unacknowledged[bundle.number] = bundle
        self.in_hand.append(bundle)
        self.changed.ring()

    def end(self, *, deleted: bool) -> None:
        self.ended = Emptied("the queue was deleted") if deleted else Unavailable("rabbitmq", "the connection was lost")
        self.unacknowledged.clear()
        self.in_hand.clear()
        self.changed.ring()
