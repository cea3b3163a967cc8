"""The delivery queue on two Redis streams, for use without RabbitMQ.

An entry of `heyday:delivery` is a bundle, claimed by one node until it is acknowledged. Only people read `heyday:dead`.
What Redis loses is found again from the rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import structlog

from service.adapters.redis.connection import COMMAND_TIMEOUT, RedisClients, translating
from service.adapters.redis.streams import RedisWorkStream
from service.domain.bundles import Malformed, decode, encode, messages_in
from service.ports import Delivery, Entry, NodeName, QueueDepth, Unavailable
from service.ports.names import REDIS_QUEUE

IDLE_LIMIT = 600.0
"""Seconds after which another node gets a bundle of a living node: far longer than the slowest bundle takes."""

MAX_DEAD_LETTERS = 100_000
"""Dead letters that are kept, as in RabbitMQ. Redis drops the oldest, a block of entries at a time."""

UNFINISHED_BATCH = 100
"""Unfinished bundles that are read at once after a start."""

log = structlog.get_logger(__name__)


class StreamDeliveryQueue:
    """Implements `service.ports.DeliveryQueue`, read as `consumer`, the node's name. It does not close the clients."""

    def __init__(
        self,
        clients: RedisClients,
        *,
        consumer: NodeName | str,
        max_dead_letters: int = MAX_DEAD_LETTERS,
        on_dead_letters: Callable[[int], None] = lambda _messages: None,
    ) -> None:
        self._bundles = RedisWorkStream(clients.commands, clients.blocking, REDIS_QUEUE.delivery, consumer=consumer)
        self._dead = RedisWorkStream(
            clients.commands, clients.blocking, REDIS_QUEUE.dead, consumer=consumer, max_length=max_dead_letters
        )
        self._on_dead_letters = on_dead_letters
        self._received: set[str] = set()
        self._unfinished: deque[Entry] = deque()
        self._may_have_unfinished = True
        self._looking = asyncio.Lock()

    async def open(self) -> None:
        await self._bundles.open()
        await self._dead.open()

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        if bundles:
            await self._bundles.append([encode(bundle).decode() for bundle in bundles], traceparent=traceparent)

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds.

        After a start, and after an outage that may have lost the reply to a claim, this node's own unfinished bundles
        come first. Raises Unavailable; Emptied when the stream was deleted.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        try:
            while (entry := await self._next(within=deadline - loop.time())) is not None:
                if entry.id in self._received:  # read as unfinished while its own receiver waited for the reply
                    continue
                try:
                    ids = decode(entry.body)
                except Malformed as error:
                    log.warning("delivery_malformed", reason=str(error), entry=entry.id)
                    await self._add_dead_letters([entry.body])
                    await self._bundles.finish([entry])
                    continue
                self._received.add(entry.id)
                return Delivery(ids, entry, entry.traceparent)
        except BaseException:  # also a cancellation: an entry may be claimed without a receiver
            self._may_have_unfinished = True
            raise
        return None

    async def acknowledge(self, delivery: Delivery) -> None:
        assert isinstance(delivery.receipt, Entry)  # noqa: S101 -- narrows the adapter's own type
        self._received.discard(delivery.receipt.id)
        try:
            await self._bundles.finish([delivery.receipt])
        except Unavailable:
            self._may_have_unfinished = True

    async def pause(self) -> None:
        """Do nothing: a bundle is claimed only when it is received."""

    async def dead_letter(self, ids: Sequence[UUID]) -> None:
        if ids:
            await self._add_dead_letters([str(message) for message in ids])

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        requeued = await self._bundles.requeue_abandoned(living=living, idle=IDLE_LIMIT)
        if requeued.given_up:
            await self._add_dead_letters(requeued.given_up)
        return requeued.entries

    async def depth(self) -> QueueDepth:
        bundles, dead = await self._bundles.state(), await self._dead.state()
        taken = sum(bundles.pending.values())
        ready = max(0, bundles.length - taken)
        return QueueDepth(ready=ready, unacknowledged=taken, dead=dead.length, taken_by=bundles.pending)

    async def close(self) -> None:
        """Forget what was received. It stays claimed: this node receives it again, or another after its death."""
        self._received.clear()
        self._unfinished.clear()
        self._may_have_unfinished = True

    async def _add_dead_letters(self, bodies: Sequence[str]) -> None:
        await self._dead.append(bodies)
        self._on_dead_letters(sum(messages_in(body.encode()) for body in bodies))

    async def _next(self, *, within: float) -> Entry | None:
        if self._may_have_unfinished and not self._unfinished:
            # The deadline includes the wait for a read by another receiver.
            async with translating(within=2 * COMMAND_TIMEOUT), self._looking:
                await self._read_unfinished()
        if self._unfinished:
            return self._unfinished.popleft()
        entries = await self._bundles.read(count=1, block=within)
        return entries[0] if entries else None

    async def _read_unfinished(self) -> None:
        if not self._may_have_unfinished or self._unfinished:  # another receiver has just read them
            return
        count = len(self._received) + UNFINISHED_BATCH
        entries = await self._bundles.unfinished(count=count)
        self._unfinished.extend(entry for entry in entries if entry.id not in self._received)
        self._may_have_unfinished = len(entries) == count
