"""The delivery queue in RabbitMQ: bundles are published with confirms and consumed with a prefetch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError

from service.adapters.rabbitmq.cluster import RENEWAL_INTERVAL, ClusterMark
from service.adapters.rabbitmq.consumer import Consumer
from service.adapters.rabbitmq.dead_letters import DeadLetterCounter
from service.adapters.rabbitmq.link import CONNECT_TIMEOUT, Link, translating
from service.adapters.rabbitmq.topology import DEAD, DELIVERY
from service.domain.bundles import Malformed, decode, encode
from service.ports import Delivery, Emptied, QueueDepth, Unavailable

CALL_TIMEOUT = 5.0
"""Seconds for the broker to answer a call, and to take an acknowledgement."""

DEPTH_TIMEOUT = 2.0
"""Seconds for the broker to tell the depth. A health check waits for it."""

PROBE_AFTER = 5.0
"""Seconds without a message after which the broker is asked for the queue, because a connection may be half open."""

log = structlog.get_logger(__name__)


class RabbitMQDeliveryQueue:
    """Implements `service.ports.DeliveryQueue`, with up to `prefetch` bundles that are not acknowledged.

    Publishing and consuming have a connection each: a broker short of memory or disk stops to read from connections
    that publish, and acknowledgements must still pass. The broker has `confirm_within` seconds to store bundles.
    `cluster` returns the identity of this deployment, or None before it is known: another deployment must not use the
    same queues. `on_dead_letters` is called with the number of messages that became dead letters.
    """

    def __init__(
        self,
        url: str,
        *,
        prefetch: int,
        confirm_within: float = 10.0,
        connect_within: float = CONNECT_TIMEOUT,
        cluster: Callable[[], str | None] = lambda: None,
        on_dead_letters: Callable[[int], None] = lambda _messages: None,
    ) -> None:
        self._prefetch = prefetch
        self._cluster = cluster
        self._mark = ClusterMark()
        self._dead_letters = DeadLetterCounter(on_dead_letters)
        self._renewed_at = self._checked_at = -math.inf
        self._connect_within = connect_within
        self._confirm_within = confirm_within
        self._was_there = self._was_emptied = False
        # One after the other: at the first start both would find no queue, and the second would take it for deleted.
        declaring = asyncio.Lock()
        self._publishing, self._consuming = (
            Link(
                url,
                name=f"heyday {does}",
                connect_within=connect_within,
                on_declared=self._declared,
                declaring=declaring,
            )
            for does in ("publishes", "delivers")
        )
        self._starting = asyncio.Lock()
        self._consumer: Consumer | None = None
        self._heard_at = 0.0

    def policies(self) -> Mapping[str, float]:
        """The policies that dropped bundles lately, and how many seconds ago each did."""
        return self._dead_letters.policies()

    async def open(self) -> None:
        async with self._publishing.channel(within=CALL_TIMEOUT):
            pass

    async def publish(self, bundles: Sequence[Sequence[UUID]], *, traceparent: str | None = None) -> None:
        # A deleted queue is made again. `traceparent` is in the headers.
        await self._publish(DELIVERY, [_message(encode(bundle), traceparent=traceparent) for bundle in bundles])

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds.

        Raises Unavailable; Emptied when the queue was deleted. The next call connects and consumes again.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        consumer = await self._consume()
        if self._was_emptied:
            self._was_emptied = False
            raise Emptied("rabbitmq: the queue was deleted, and made again")
        while True:
            try:
                if loop.time() - self._checked_at >= RENEWAL_INTERVAL:
                    self._checked_at = loop.time()  # one receiver checks for all of them
                    async with translating(within=CALL_TIMEOUT):
                        await self._check(consumer.channel)
                message = await consumer.next(within=deadline - loop.time())
                if message is None:
                    await self._probe(consumer)
                    return None
            except Emptied:
                # It is reported once, so the next connect must not report the missing queue again.
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
                await self._settle(message, good=False)

    async def acknowledge(self, delivery: Delivery) -> None:
        assert isinstance(delivery.receipt, AbstractIncomingMessage)  # noqa: S101 -- narrows the adapter's own type
        await self._settle(delivery.receipt, good=True)

    async def pause(self) -> None:
        """Stop consuming and give back what was taken and not yet received; the next `receive` consumes again.

        The channel stays open for the acknowledgements of what was received. What is given back is published again,
        because the broker counts a return as a delivery: an email service that is away for ten minutes opens the
        circuit often enough to make dead letters of good bundles.
        """
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with translating(within=CALL_TIMEOUT):
                in_hand = await consumer.stop()
            again = [_message(message.body, traceparent=_traceparent(message)) for message in in_hand]
            await self._publish(DELIVERY, again)
            for message in in_hand:
                await self._settle(message, good=True)
        except Unavailable:  # closing the connection gives everything back
            await self._consuming.drop(consumer.channel)

    async def dead_letter(self, ids: Sequence[UUID]) -> None:
        await self._publish(DEAD, [_message(encode([message]), reason="failed") for message in ids])

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Do nothing: the broker puts back what a closed connection had taken."""
        return 0

    async def depth(self) -> QueueDepth:
        # To renew the mark also shows that the broker takes messages: it may block publishers while no bundle is due.
        async with self._publishing.channel(within=DEPTH_TIMEOUT) as channel:
            await self._renew(channel)
            ready = await channel.get_queue(DELIVERY, ensure=True)
            dead = await channel.get_queue(DEAD, ensure=True)
        return QueueDepth(
            ready=ready.declaration_result.message_count or 0,
            unacknowledged=None,
            dead=dead.declaration_result.message_count or 0,
        )

    async def close(self) -> None:
        self._consumer = None
        await self._consuming.close()
        await self._publishing.close()

    async def use(self, url: str) -> None:
        """Connect to another URL from now on."""
        self._consumer = None
        await self._consuming.use(url)
        await self._publishing.use(url)

    async def _publish(self, exchange: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        async with self._publishing.channel(within=self._confirm_within) as channel:
            if asyncio.get_running_loop().time() - self._renewed_at >= RENEWAL_INTERVAL:
                await self._renew(channel)
            returned = await _confirmed(channel, exchange, messages)
            if returned:  # no queue is bound, because it was deleted
                log.warning("delivery_queue_missing", exchange=exchange, returned=len(returned))
                await self._publishing.declare()
                if await _confirmed(channel, exchange, returned):
                    raise Unavailable("rabbitmq", f"exchange {exchange} returns what is published")

    def _declared(self, existed: bool) -> None:
        # A consumer is told of a deletion, but not of one that happened while it was not connected.
        self._was_emptied |= self._was_there and not existed
        self._was_there = True

    async def _consume(self) -> Consumer:
        # The deadline includes the wait for an attempt by another caller.
        async with translating(within=2 * self._connect_within + CALL_TIMEOUT), self._starting:
            if self._consumer is None:
                async with self._consuming.channel(within=CALL_TIMEOUT) as channel:
                    await self._check(channel)
                    consumer = Consumer(channel, on_dead_letter=self._dead_letters.take)
                    await consumer.start(prefetch=self._prefetch)
                self._consumer = consumer
                self._heard_at = asyncio.get_running_loop().time()
            return self._consumer

    async def _probe(self, consumer: Consumer) -> None:
        now = asyncio.get_running_loop().time()
        if consumer is self._consumer and now - self._heard_at >= PROBE_AFTER:
            self._heard_at = now  # one receiver asks for all of them
            async with translating(within=CALL_TIMEOUT):
                await consumer.still_consumes()

    async def _renew(self, channel: AbstractChannel) -> None:
        if (cluster := self._cluster()) is not None:
            await self._mark.renew(channel, cluster)
            self._renewed_at = asyncio.get_running_loop().time()

    async def _check(self, channel: AbstractChannel) -> None:
        if (cluster := self._cluster()) is not None:
            await self._mark.check(channel, cluster)
        self._checked_at = asyncio.get_running_loop().time()

    async def _abandon(self, consumer: Consumer) -> None:
        if self._consumer is consumer:
            self._consumer = None
        await self._consuming.drop(consumer.channel)

    async def _settle(self, message: AbstractIncomingMessage, *, good: bool) -> None:
        with suppress(Unavailable):
            async with translating(within=CALL_TIMEOUT):
                await (message.ack() if good else message.reject(requeue=False))


def _traceparent(message: AbstractIncomingMessage) -> str | None:
    header = message.headers.get("traceparent")
    return header if isinstance(header, str) else None


def _message(body: bytes, **headers: str | None) -> Message:
    # The library finds a returned message by its id, so each publication needs one of its own.
    return Message(
        body,
        headers={name: value for name, value in headers.items() if value is not None},
        content_type="text/plain",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=uuid4().hex,
        app_id="heyday",
    )


async def _confirmed(channel: AbstractChannel, exchange: str, messages: Sequence[Message]) -> list[Message]:
    """Publish all messages at once and wait for every confirm, also after a failure.

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
