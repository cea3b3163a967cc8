"""What heyday keeps in RabbitMQ: a queue of bundles and a queue of dead letters, with an exchange before each."""

from __future__ import annotations

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp.common import FieldTable

from service.ports import Unavailable

DELIVERY = "heyday.delivery"
"""The direct exchange, the quorum queue bound to it, and the routing key between them."""

DEAD = "heyday.dead"
"""The fanout exchange and the quorum queue of what was failed, malformed, or given back too often."""

DELIVERY_LIMIT = 20
"""How often a bundle may come back before it is a dead letter.

It is the default of RabbitMQ 4, made explicit because RabbitMQ 3 has none and would deliver what kills its consumer
for ever. Everything a crashing node had prefetched ages with it, and a supervisor restarts an actor 20 times at most,
so innocent bundles survive a crash loop. What is dropped here is found again from its rows.
"""

ARGUMENTS: dict[str, FieldTable] = {
    DELIVERY: {"x-queue-type": "quorum", "x-dead-letter-exchange": DEAD, "x-delivery-limit": DELIVERY_LIMIT},
    DEAD: {"x-queue-type": "quorum"},
}
"""What each queue is declared with."""


async def exists(connection: AbstractConnection) -> bool:
    """Whether the delivery queue exists. Raises what the library raises."""
    channel = await connection.channel()
    try:
        await channel.declare_queue(DELIVERY, passive=True)
    except ChannelNotFoundEntity:  # which has closed the channel
        return False
    await channel.close()
    return True


async def declare(channel: AbstractChannel) -> None:
    """Make exchanges, queues and bindings where they do not exist.

    Raises Unavailable when one exists with other settings: a person has to decide.
    """
    try:
        dead = await channel.declare_exchange(DEAD, ExchangeType.FANOUT, durable=True)
        dead_letters = await channel.declare_queue(DEAD, durable=True, arguments=ARGUMENTS[DEAD])
        await dead_letters.bind(dead, DEAD)
        delivery = await channel.declare_exchange(DELIVERY, ExchangeType.DIRECT, durable=True)
        bundles = await channel.declare_queue(DELIVERY, durable=True, arguments=ARGUMENTS[DELIVERY])
        await bundles.bind(delivery, DELIVERY)
    except ChannelPreconditionFailed as error:
        raise Unavailable(
            "rabbitmq",
            f"a queue or exchange exists with other settings than heyday's ({error}). Delete it and it is made again; "
            "the work in it is found again from the rows",
        ) from error
