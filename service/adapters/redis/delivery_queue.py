"""The delivery queue without RabbitMQ: the same contract on two Redis streams, for embedded use.

`heyday:delivery` has a bundle an entry, claimed by one node until it is acknowledged; `heyday:dead` is read by people
only. What Redis loses when it dies is found again from the rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from uuid import UUID

import structlog

from service.adapters.redis.connection import COMMAND_WITHIN, RedisClients, translating
from service.adapters.redis.streams import RedisWorkStream
from service.domain.bundles import Malformed, decode, encode
from service.ports import Delivery, Entry, QueueDepth, Unavailable

DELIVERY = "heyday:delivery"
DEAD = "heyday:dead"

IDLE = 600.0
"""Seconds after which a bundle of a living node is handed to another: far longer than the slowest bundle takes."""

UNFINISHED_AT_ONCE = 100
"""How many bundles left behind are read at once after a start."""

log = structlog.get_logger(__name__)


class StreamDeliveryQueue:
    """The `DeliveryQueue` on Redis streams, read as `consumer` (the node's id). The clients stay their owner's."""

    def __init__(self, clients: RedisClients, *, consumer: str, idle: float = IDLE) -> None:
        self._bundles = RedisWorkStream(clients.commands, clients.blocking, DELIVERY, consumer=consumer)
        self._dead = RedisWorkStream(clients.commands, clients.blocking, DEAD, consumer=consumer)
        self._idle = idle
        self._received: set[str] = set()
        self._left_behind: deque[Entry] = deque()
        self._may_have_left_behind = True
        self._looking = asyncio.Lock()

    async def open(self) -> None:
        """Make the streams where they do not exist. Raises Unavailable."""
        await self._bundles.open()
        await self._dead.open()

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        """Append every bundle, and `traceparent` with each. Raises Unavailable: then all may be published again."""
        if bundles:
            await self._bundles.append([encode(bundle).decode() for bundle in bundles], traceparent=traceparent)

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds. Malformed ones go to the dead letters.

        What this node had claimed and not finished comes first, after a start and after an outage that may have
        swallowed the reply to a claim. Raises Unavailable; Emptied when the stream was deleted.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        try:
            while (entry := await self._next(within=deadline - loop.time())) is not None:
                if entry.id in self._received:  # found by looking behind while its own receiver waited for the reply
                    continue
                try:
                    ids = decode(entry.body)
                except Malformed as error:
                    log.warning("delivery_malformed", reason=str(error), entry=entry.id)
                    await self._dead.append([entry.body])
                    await self._bundles.finish([entry])
                    continue
                self._received.add(entry.id)
                return Delivery(ids, entry, entry.traceparent)
        except BaseException:  # also when cancelled: an entry may be claimed, and nobody holds it
            self._may_have_left_behind = True
            raise
        return None

    async def acknowledge(self, delivery: Delivery) -> None:
        """Forget the delivery. While Redis is away this is ignored: it is delivered again."""
        assert isinstance(delivery.receipt, Entry)  # noqa: S101 -- narrows the adapter's own type
        self._received.discard(delivery.receipt.id)
        try:
            await self._bundles.finish([delivery.receipt])
        except Unavailable:
            self._may_have_left_behind = True

    async def pause(self) -> None:
        """Nothing to give back: a bundle is claimed only when it is received."""

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Leave a copy of failed messages with the dead letters, one for each. Raises Unavailable."""
        if ids:
            await self._dead.append([str(message) for message in ids])

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Put back what nodes that are not `living` had taken, and bury what came back too often.

        Raises Unavailable; Emptied when the stream was deleted.
        """
        requeued = await self._bundles.requeue_abandoned(living=living, idle=self._idle)
        if requeued.given_up:
            await self._dead.append(requeued.given_up)
        return requeued.entries

    async def depth(self) -> QueueDepth:
        """How much is in the queue. Raises Unavailable."""
        bundles, dead = await self._bundles.state(), await self._dead.state()
        taken = sum(bundles.pending.values())
        ready = max(0, bundles.length - taken)
        return QueueDepth(ready=ready, unacknowledged=taken, dead=dead.length, taken_by=bundles.pending)

    async def close(self) -> None:
        """Forget what was received: it is still claimed, and delivered again to this node or after its death."""
        self._received.clear()
        self._left_behind.clear()
        self._may_have_left_behind = True

    async def _next(self, *, within: float) -> Entry | None:
        if self._may_have_left_behind and not self._left_behind:
            # The deadline holds for those who wait for another's look as well.
            async with translating(within=2 * COMMAND_WITHIN), self._looking:
                await self._look_behind()
        if self._left_behind:
            return self._left_behind.popleft()
        entries = await self._bundles.read(count=1, block=within)
        return entries[0] if entries else None

    async def _look_behind(self) -> None:
        if not self._may_have_left_behind or self._left_behind:  # another has just looked
            return
        count = len(self._received) + UNFINISHED_AT_ONCE
        entries = await self._bundles.unfinished(count=count)
        self._left_behind.extend(entry for entry in entries if entry.id not in self._received)
        self._may_have_left_behind = len(entries) == count
