"""The exchanges and queues of heyday in RabbitMQ.

| name | what it is |
| --- | --- |
| `heyday.delivery` | direct exchange and quorum queue of bundles |
| `heyday.dead` | fanout exchange and quorum queue of dead letters, which only people read |
| `heyday.dead.events` | quorum queue with a short-lived copy of each dead letter, which nodes read to count them |
| `heyday.cluster` | quorum queue with one message: the cluster that uses these queues now |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp.common import FieldTable

from service.ports import Unavailable
from service.ports.names import RABBITMQ_QUEUE

DELIVERY = RABBITMQ_QUEUE.delivery
DEAD = RABBITMQ_QUEUE.dead
EVENTS = "heyday.dead.events"
CLUSTER = "heyday.cluster"

DELIVERY_LIMIT = 20
"""Times that a bundle may come back before it is a dead letter.

It is the default of RabbitMQ 4. RabbitMQ 3 has no default and would deliver a bundle that kills its consumer for ever.
Every bundle that a crashing node had prefetched comes back with it, and a supervisor restarts an actor 20 times at
most, so innocent bundles survive a crash loop. Recovery finds the messages of a dropped bundle again from their rows.
"""

MAX_DEAD_LETTERS = 100_000
"""Dead letters that are kept. The oldest is dropped; its row still has state `failed`."""

UNLIMITED_DELIVERIES = 1_000_000
"""For queues whose messages are looked at and returned. RabbitMQ 4 would drop a message after 20 such looks."""

MAX_EVENTS = 10_000
EVENT_TTL = 60_000
UNUSED_QUEUE_TTL = 600_000
"""Copies of dead letters, ms that a copy waits for a node, and ms after which RabbitMQ deletes their unused queue."""

CLUSTER_TTL = 30_000
"""Milliseconds for which queues count as used by a cluster after its nodes last said so."""

ARGUMENTS: dict[str, FieldTable] = {
    DELIVERY: {"x-queue-type": "quorum", "x-dead-letter-exchange": DEAD, "x-delivery-limit": DELIVERY_LIMIT},
    DEAD: {
        "x-queue-type": "quorum",
        "x-max-length": MAX_DEAD_LETTERS,
        "x-overflow": "drop-head",
        "x-delivery-limit": UNLIMITED_DELIVERIES,
    },
    EVENTS: {
        "x-queue-type": "quorum",
        "x-max-length": MAX_EVENTS,
        "x-overflow": "drop-head",
        "x-message-ttl": EVENT_TTL,
        "x-expires": UNUSED_QUEUE_TTL,
    },
    CLUSTER: {
        "x-queue-type": "quorum",
        "x-max-length": 1,
        "x-overflow": "drop-head",
        "x-message-ttl": CLUSTER_TTL,
        "x-delivery-limit": UNLIMITED_DELIVERIES,
    },
}
"""The arguments with which each queue is declared."""

log = structlog.get_logger(__name__)


async def declare(connection: AbstractConnection) -> bool:
    """Make exchanges, queues and bindings where they do not exist. Returns True if the delivery queue existed.

    Raises Unavailable when a queue or exchange exists with other settings, because a person has to decide.
    """
    existed = await _exists(connection, DELIVERY)
    try:
        await _declare_dead_letters(connection)
        async with _channel(connection) as channel:
            delivery = await channel.declare_exchange(DELIVERY, ExchangeType.DIRECT, durable=True)
            for name in (DELIVERY, CLUSTER):
                queue = await channel.declare_queue(name, durable=True, arguments=ARGUMENTS[name])
                await queue.bind(delivery, name)
    except ChannelPreconditionFailed as error:
        raise Unavailable(
            "rabbitmq",
            f"a queue or exchange exists with other settings than heyday's ({error}). Delete it and it is made again; "
            "the work in it is found again from the rows",
        ) from error
    return existed


async def _declare_dead_letters(connection: AbstractConnection) -> None:
    """Make the dead letters. A queue with other settings stays in use, because its dead letters may be wanted."""
    async with _channel(connection) as channel:
        dead = await channel.declare_exchange(DEAD, ExchangeType.FANOUT, durable=True)
        events = await channel.declare_queue(EVENTS, durable=True, arguments=ARGUMENTS[EVENTS])
        await events.bind(dead, EVENTS)
    try:
        async with _channel(connection) as channel:
            await channel.declare_queue(DEAD, durable=True, arguments=ARGUMENTS[DEAD])
    except ChannelPreconditionFailed as error:
        log.warning("dead_letter_queue_kept", queue=DEAD, reason=str(error))
    async with _channel(connection) as channel:
        await (await channel.get_queue(DEAD, ensure=False)).bind(DEAD, DEAD)


async def _exists(connection: AbstractConnection, queue: str) -> bool:
    try:
        async with _channel(connection) as channel:
            await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    return True


@asynccontextmanager
async def _channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """A channel for a few questions. A refusal closes it, so that each possible refusal needs one of its own."""
    channel = await connection.channel()
    yield channel
    with suppress(RuntimeError):  # it was closed meanwhile
        await channel.close()
