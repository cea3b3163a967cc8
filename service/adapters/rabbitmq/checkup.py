"""What a doctor asks RabbitMQ, without making or changing anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from service.adapters.rabbitmq.link import translating
from service.adapters.rabbitmq.topology import ARGUMENTS, DEAD, DELIVERY

WITHIN = 8.0
"""Seconds for all of it."""


@dataclass(frozen=True, slots=True)
class QueueFound:
    """A queue: messages ready in it, its consumers, and how it differs from what heyday declares, or None."""

    ready: int
    consumers: int
    differs: str | None


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker, and the two queues; None where there is none yet."""

    product: str
    version: str
    delivery: QueueFound | None
    dead: QueueFound | None


async def look(url: str) -> Broker:
    """What is there. Raises Unavailable."""
    async with translating(within=WITHIN):
        connection = await aio_pika.connect(url, client_properties={"connection_name": "heyday doctor"})
        try:
            transport = connection.transport
            properties = transport.connection.server_properties if transport else {}
            return Broker(
                _text(properties.get("product", "RabbitMQ")),
                _text(properties.get("version", "")),
                await _queue(connection, DELIVERY),
                await _queue(connection, DEAD),
            )
        finally:
            async with asyncio.timeout(1):
                await connection.close()


async def _queue(connection: AbstractConnection, name: str) -> QueueFound | None:
    # A refusal closes the channel: each question has one of its own.
    try:
        found = (await (await connection.channel()).declare_queue(name, passive=True)).declaration_result
    except ChannelNotFoundEntity:
        return None
    differs: str | None = None
    try:
        # It exists, so this makes nothing: it is taken if it is the same, and refused if it is not.
        await (await connection.channel()).declare_queue(name, durable=True, arguments=ARGUMENTS[name])
    except ChannelPreconditionFailed as error:
        differs = str(error)
    return QueueFound(found.message_count or 0, found.consumer_count or 0, differs)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
