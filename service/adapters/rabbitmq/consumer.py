"""One consumer of the delivery queue, with the messages that the broker has handed to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, ConsumerTag
from pamqp.commands import Basic

from service.adapters.rabbitmq.topology import DELIVERY, EVENTS
from service.ports import Emptied, Unavailable


class Consumer:
    """A consumer on `channel`. It ends when the broker cancels it or the channel closes, and is not used again.

    `on_dead_letter` gets a copy of each dead letter; RabbitMQ gives each copy to one of all consumers.
    """

    def __init__(
        self,
        channel: AbstractChannel,
        *,
        on_dead_letter: Callable[[AbstractIncomingMessage], None] = lambda _message: None,
    ) -> None:
        self.channel = channel
        self._on_dead_letter = on_dead_letter
        self._handed: deque[AbstractIncomingMessage] = deque()
        self._changed = asyncio.Event()
        self._end: Exception | None = None
        self._stopped = False
        self._tags: dict[str, ConsumerTag] = {}

    async def start(self, *, prefetch: int) -> None:
        """Consume, with up to `prefetch` messages in hand. Raises what the library raises."""
        self.channel.close_callbacks.add(self._on_channel_closed)
        underlay = await self.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_cancelled_by_broker)
        await self.channel.set_qos(prefetch_count=prefetch)
        queue = await self.channel.get_queue(DELIVERY, ensure=False)
        self._tags[DELIVERY] = await queue.consume(self._on_message)
        events = await self.channel.get_queue(EVENTS, ensure=False)
        self._tags[EVENTS] = await events.consume(self._on_event, no_ack=True)

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
        for name, tag in self._tags.items():
            queue = await self.channel.get_queue(name, ensure=False)
            await queue.cancel(tag)
        # The channel stays open, and would keep every consumer it ever had.
        underlay = await self.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.discard(self._on_cancelled_by_broker)
        self.channel.close_callbacks.discard(self._on_channel_closed)
        in_hand = list(self._handed)
        self._handed.clear()
        return in_hand

    async def still_consumes(self) -> None:
        """Ask for the queue. Raises what the library raises, also for a half-open connection."""
        await self.channel.get_queue(DELIVERY, ensure=True)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if self._stopped:  # it was on its way when the consumer was cancelled
            await message.nack(requeue=True)
            return
        self._handed.append(message)
        self._changed.set()

    async def _on_event(self, message: AbstractIncomingMessage) -> None:
        self._on_dead_letter(message)

    async def _on_cancelled_by_broker(self, frame: Basic.Cancel) -> None:
        if frame.consumer_tag != self._tags.get(EVENTS):
            self._finish(Emptied("rabbitmq: the consumer was cancelled, as when its queue is deleted"))

    async def _on_channel_closed(self, _: object, reason: BaseException | None) -> None:
        self._finish(Unavailable("rabbitmq", f"the channel was closed: {reason}"))

    def _finish(self, end: Exception) -> None:
        # The first reason is the cause: a deleted queue also leads to a closed channel.
        if self._end is None:
            self._end = end
        # The broker delivers again what is in hand.
        self._handed.clear()
        self._changed.set()
