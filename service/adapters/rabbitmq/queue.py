"""The delivery queue in RabbitMQ: bundles published with confirms, consumed with a prefetch, buried when failed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError

from service.adapters.rabbitmq.consumer import Consumer
from service.adapters.rabbitmq.link import CONNECT_WITHIN, Link, translating
from service.adapters.rabbitmq.topology import DEAD, DELIVERY, declare
from service.domain.bundles import Malformed, decode, encode
from service.ports import Delivery, Emptied, QueueDepth, Unavailable

ANSWER_WITHIN = 5.0
"""Seconds for the broker to answer a question, and to take an acknowledgement."""

PROBE_AFTER = 5.0
"""Seconds without a message after which the broker is asked whether it still hears: a connection may be half open."""

log = structlog.get_logger(__name__)


class RabbitMQDeliveryQueue:
    """The `DeliveryQueue` of RabbitMQ, holding up to `prefetch` bundles that were not acknowledged.

    Publishing and consuming have a connection each: a broker short of memory or disk stops reading from those that
    publish, and acknowledgements must get through. `confirm_within` seconds is how long the broker may take to make
    bundles durable; a broker that has blocked publishers is unavailable after that.
    """

    def __init__(
        self, url: str, *, prefetch: int, confirm_within: float = 10.0, connect_within: float = CONNECT_WITHIN
    ) -> None:
        self._prefetch = prefetch
        self._connect_within = connect_within
        self._confirm_within = confirm_within
        self._was_there = self._was_emptied = False
        self._publishing, self._consuming = (
            Link(url, name=f"heyday {does}", connect_within=connect_within, on_declared=self._declared)
            for does in ("publishes", "delivers")
        )
        self._starting = asyncio.Lock()
        self._consumer: Consumer | None = None
        self._heard_at = 0.0

    async def open(self) -> None:
        """Connect and declare the topology. Raises Unavailable."""
        async with self._publishing.channel(within=ANSWER_WITHIN):
            pass

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        """Publish every bundle and return when the broker has confirmed them all; `traceparent` is in their headers.

        A queue that somebody deleted is made again. Raises Unavailable when any bundle is unconfirmed: which ones
        were taken is then unknown, and all may be published again.
        """
        await self._publish(DELIVERY, [_message(encode(bundle), traceparent=traceparent) for bundle in bundles])

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds. Malformed ones go to the dead letters.

        Raises Unavailable; Emptied when the queue was deleted. The next call connects and consumes anew.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        consumer = await self._consume()
        if self._was_emptied:
            self._was_emptied = False
            raise Emptied("rabbitmq: the queue was deleted, and made again")
        while True:
            try:
                message = await consumer.next(within=deadline - loop.time())
                if message is None:
                    await self._probe(consumer)
                    return None
            except Emptied:
                # Told once: that the queue is missing at the next connect is no news.
                self._was_there = self._was_emptied = False
                await self._abandon(consumer)
                raise
            except Unavailable:
                await self._abandon(consumer)
                raise
            self._heard_at = loop.time()
            try:
                return Delivery(decode(message.body), message, _traceparent(message))
            except Malformed as error:
                log.warning("delivery_malformed", reason=str(error), message_id=message.message_id)
                await self._answer(message, good=False)

    async def acknowledge(self, delivery: Delivery) -> None:
        """Forget the delivery. A receipt whose channel is gone is ignored: the broker delivers it again."""
        assert isinstance(delivery.receipt, AbstractIncomingMessage)  # noqa: S101 -- narrows the adapter's own type
        await self._answer(delivery.receipt, good=True)

    async def pause(self) -> None:
        """Stop consuming and give back what was taken and not yet received; the next `receive` consumes again.

        What was received stays with its receiver: the channel is left open for the acknowledgements. What is given
        back is published anew, because the broker counts a return as a delivery: an email service that is away for
        ten minutes opens the circuit often enough to make dead letters of innocent bundles.
        """
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with translating(within=ANSWER_WITHIN):
                in_hand = await consumer.stop()
            again = [_message(message.body, traceparent=_traceparent(message)) for message in in_hand]
            await self._publish(DELIVERY, again)
            for message in in_hand:
                await self._answer(message, good=True)
        except Unavailable:  # closing the connection gives everything back
            await self._consuming.drop(consumer.channel)

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Leave a copy of failed messages with the dead letters, one for each, confirmed. Raises Unavailable."""
        await self._publish(DEAD, [_message(encode([message]), reason="failed") for message in ids])

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Nothing to do: the broker puts back what a closed connection had taken."""
        return 0

    async def depth(self) -> QueueDepth:
        """How much is in the queue; RabbitMQ does not tell consumers how much is unacknowledged. Raises Unavailable."""
        async with self._publishing.channel(within=ANSWER_WITHIN) as channel:
            ready = await channel.get_queue(DELIVERY, ensure=True)
            dead = await channel.get_queue(DEAD, ensure=True)
        return QueueDepth(
            ready=ready.declaration_result.message_count or 0,
            unacknowledged=None,
            dead=dead.declaration_result.message_count or 0,
        )

    async def close(self) -> None:
        """Close connections; what was not acknowledged is delivered again."""
        self._consumer = None
        await self._consuming.close()
        await self._publishing.close()

    async def _publish(self, exchange: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        async with self._publishing.channel(within=self._confirm_within) as channel:
            returned = await _confirmed(channel, exchange, messages)
            if returned:  # nothing is bound any more: somebody deleted the queue
                log.warning("delivery_queue_missing", exchange=exchange, returned=len(returned))
                await declare(channel)
                self._declared(existed=False)
                if await _confirmed(channel, exchange, returned):
                    raise Unavailable("rabbitmq", f"exchange {exchange} returns what is published")

    def _declared(self, existed: bool) -> None:
        # Whoever consumes hears of a deletion; while all of them were away nobody did.
        self._was_emptied |= self._was_there and not existed
        self._was_there = True

    async def _consume(self) -> Consumer:
        # The deadline holds for those who wait for another's attempt as well.
        async with translating(within=self._connect_within + ANSWER_WITHIN), self._starting:
            if self._consumer is None:
                async with self._consuming.channel(within=ANSWER_WITHIN) as channel:
                    consumer = Consumer(channel)
                    await consumer.start(prefetch=self._prefetch)
                self._consumer = consumer
                self._heard_at = asyncio.get_running_loop().time()
            return self._consumer

    async def _probe(self, consumer: Consumer) -> None:
        now = asyncio.get_running_loop().time()
        if consumer is self._consumer and now - self._heard_at >= PROBE_AFTER:
            self._heard_at = now  # one receiver asks for all
            async with translating(within=ANSWER_WITHIN):
                await consumer.still_consumes()

    async def _abandon(self, consumer: Consumer) -> None:
        if self._consumer is consumer:
            self._consumer = None
        await self._consuming.drop(consumer.channel)

    async def _answer(self, message: AbstractIncomingMessage, *, good: bool) -> None:
        with suppress(Unavailable):
            async with translating(within=ANSWER_WITHIN):
                await (message.ack() if good else message.reject(requeue=False))


def _traceparent(message: AbstractIncomingMessage) -> str | None:
    told = message.headers.get("traceparent")
    return told if isinstance(told, str) else None


def _message(body: bytes, **headers: str | None) -> Message:
    # The library tells returned messages apart by their ids, so each publication has one of its own.
    return Message(
        body,
        headers={name: value for name, value in headers.items() if value is not None},
        content_type="text/plain",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=uuid4().hex,
        app_id="heyday",
    )


async def _confirmed(channel: AbstractChannel, exchange: str, messages: Sequence[Message]) -> list[Message]:
    """Publish at once and wait for every confirm, so that no failure leaves another in flight unseen.

    Returns the messages that no queue took. Raises what the library raises for the first other failure.
    """
    to = await channel.get_exchange(exchange, ensure=False)
    results = await asyncio.gather(
        *(to.publish(message, routing_key=DELIVERY, mandatory=True) for message in messages), return_exceptions=True
    )
    returned = []
    for message, result in zip(messages, results, strict=True):
        if isinstance(result, PublishError):
            returned.append(message)
        elif isinstance(result, BaseException):
            raise result
    return returned
