"""Diagnostics of RabbitMQ that change nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPChannelError, ChannelNotFoundEntity, ChannelPreconditionFailed

from service.adapters.rabbitmq.dead_letters import policy_of
from service.adapters.rabbitmq.link import close, connect_to_any, is_blocked, translating
from service.adapters.rabbitmq.topology import ARGUMENTS, CLUSTER, DEAD, DELIVERY
from service.ports import Unavailable

CONNECT_TIMEOUT = 3.0
"""Seconds to connect to one host."""

CALLS_TIMEOUT = 4.0
"""Seconds for all questions after that."""

PUBLISH_TIMEOUT = 1.0
"""Seconds for the broker to take a message that no queue receives."""

DEAD_LETTERS_READ = 20
"""Dead letters that are read and returned, to find those that a policy made."""


@dataclass(frozen=True, slots=True)
class QueueFound:
    """A queue: messages ready in it, its consumers, and how it differs from what heyday declares, or None."""

    ready: int
    consumers: int
    differs: str | None


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker and the two queues, which are None where they do not exist yet.

    `blocked` is True while the broker blocks publishers. `policies` are the keys of policies on the delivery queue
    that made dead letters. `cluster` is the identity of the deployment that uses the queues now, or None.
    """

    product: str
    version: str
    delivery: QueueFound | None
    dead: QueueFound | None
    blocked: bool
    policies: tuple[str, ...]
    cluster: str | None


async def look(url: str) -> Broker:
    """Ask the first host that answers. Raises Unavailable."""
    connection = await connect_to_any(url, name="heyday doctor", within=CONNECT_TIMEOUT)
    try:
        async with translating(within=CALLS_TIMEOUT):
            transport = connection.transport
            properties = transport.connection.server_properties if transport else {}
            delivery, dead = await _queue(connection, DELIVERY), await _queue(connection, DEAD)
            return Broker(
                product=_text(properties.get("product", "RabbitMQ")),
                version=_text(properties.get("version", "")),
                delivery=delivery,
                dead=dead,
                policies=await _policies(connection) if dead else (),
                cluster=await _cluster(connection),
                # The last question: the broker reads nothing more from a connection that it blocks.
                blocked=await _blocks(connection) if delivery else False,
            )
    finally:
        await close(connection)


async def _queue(connection: AbstractConnection, name: str) -> QueueFound | None:
    # A refusal closes the channel, so each question has a channel of its own.
    try:
        found = (await (await connection.channel()).declare_queue(name, passive=True)).declaration_result
    except ChannelNotFoundEntity:
        return None
    differs: str | None = None
    try:
        # The queue exists, so this makes nothing: the broker accepts equal arguments and refuses others.
        await (await connection.channel()).declare_queue(name, durable=True, arguments=ARGUMENTS[name])
    except ChannelPreconditionFailed as error:
        differs = str(error)
    return QueueFound(found.message_count or 0, found.consumer_count or 0, differs)


async def _blocks(connection: AbstractConnection) -> bool:
    """Publish messages that reach no queue. A broker that blocks publishers says so after the first one."""
    with suppress(AMQPChannelError, Unavailable):  # the user may not publish, or the broker does not read the second
        exchange = await (await connection.channel()).get_exchange(DELIVERY, ensure=False)
        async with translating(within=PUBLISH_TIMEOUT):
            for _ in range(2):
                await exchange.publish(Message(b""), routing_key="heyday.doctor", mandatory=False)
    return await is_blocked(connection)


async def _policies(connection: AbstractConnection) -> tuple[str, ...]:
    channel = await connection.channel()
    queue = await channel.get_queue(DEAD, ensure=False)
    found: set[str] = set()
    for _ in range(DEAD_LETTERS_READ):
        if (message := await queue.get(fail=False)) is None:
            break
        if (policy := policy_of(message)) is not None:
            found.add(policy)
    await channel.close()  # the broker puts back what was not acknowledged
    return tuple(sorted(found))


async def _cluster(connection: AbstractConnection) -> str | None:
    channel = await connection.channel()
    try:
        mark = await (await channel.get_queue(CLUSTER, ensure=True)).get(fail=False)
    except ChannelNotFoundEntity:
        return None
    await channel.close()
    return mark.body.decode(errors="backslashreplace") if mark is not None else None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
