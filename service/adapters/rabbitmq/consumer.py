"""One consumer of the delivery queue: what the broker handed to it, until somebody takes it or the consumer ends."""

from __future__ import annotations

import asyncio
from collections import deque

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, ConsumerTag

from service.adapters.rabbitmq.topology import DELIVERY
from service.ports import Emptied, Unavailable


class Consumer:
    """A consumer on `channel`. It ends when the broker cancels it or the channel closes, and is not used again."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self._handed: deque[AbstractIncomingMessage] = deque()
        self._changed = asyncio.Event()
        self._end: Exception | None = None
        self._stopped = False
        self._tag: ConsumerTag | None = None

    async def start(self, *, prefetch: int) -> None:
        """Consume, with up to `prefetch` messages in hand. Raises what the library raises."""
        self.channel.close_callbacks.add(self._on_channel_closed)
        underlay = await self.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_cancelled_by_broker)
        await self.channel.set_qos(prefetch_count=prefetch)
        queue = await self.channel.get_queue(DELIVERY, ensure=False)
        self._tag = await queue.consume(self._on_message)

    async def next(self, *, within: float) -> AbstractIncomingMessage | None:
        """The oldest message in hand, or None after `within` seconds.

        Raises Emptied when the broker cancelled the consumer, Unavailable when the channel was closed.
        """
        try:
            async with asyncio.timeout(within):
                while not self._handed and self._end is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None
        if self._end is not None:
            raise self._end
        return self._handed.popleft()

    async def stop(self) -> list[AbstractIncomingMessage]:
        """Cancel the consumer and return what is in hand, neither acknowledged nor given back.

        Raises what the library raises.
        """
        self._stopped = True
        if self._tag is not None:
            queue = await self.channel.get_queue(DELIVERY, ensure=False)
            await queue.cancel(self._tag)
        # The channel lives on, and would keep every consumer it ever had.
        underlay = await self.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.discard(self._on_cancelled_by_broker)
        self.channel.close_callbacks.discard(self._on_channel_closed)
        in_hand = list(self._handed)
        self._handed.clear()
        return in_hand

    async def still_consumes(self) -> None:
        """Ask whether the queue still exists. Raises what the library raises: also for a connection half open."""
        await self.channel.get_queue(DELIVERY, ensure=True)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if self._stopped:  # it was on its way when the consumer was cancelled
            await message.nack(requeue=True)
            return
        self._handed.append(message)
        self._changed.set()

    async def _on_cancelled_by_broker(self, _: object) -> None:
        self._finish(Emptied("rabbitmq: the consumer was cancelled, as when its queue is deleted"))

    async def _on_channel_closed(self, _: object, reason: BaseException | None) -> None:
        self._finish(Unavailable("rabbitmq", f"the channel was closed: {reason}"))

    def _finish(self, end: Exception) -> None:
        # The first reason is the true one: a deleted queue also leads to a closed channel.
        if self._end is None:
            self._end = end
        # What is in hand belongs to the broker again, which delivers it to somebody.
        self._handed.clear()
        self._changed.set()
