"""The two delivery queues and their fake behind one interface, so that one suite tests all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from redis.asyncio import Redis

from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.adapters.redis.connection import Reply, connect
from service.adapters.redis.delivery_queue import StreamDeliveryQueue
from service.ports import DeliveryQueue
from tests.fakes.broker import Broker as MemoryOfBroker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.servers import Addressed, Servers

PREFETCH = 10


class Broker(Protocol):
    """A server with the delivery queue, and the operations of an administrator."""

    url: str

    def queue(self, node: str, url: str) -> tuple[DeliveryQueue, Callable[[], Awaitable[None]]]:
        """Return the queue of a node, not opened, and a function that closes everything under it."""

    def server(self, servers: Servers) -> Addressed:
        """Return the server of this queue."""

    async def put(self, body: bytes) -> None:
        """Put a message into the queue."""

    async def dead(self) -> list[bytes]:
        """Take out the dead letters, and return their bodies."""

    async def purge(self) -> None:
        """Empty the queue."""

    async def delete(self) -> None:
        """Delete the queue."""

    async def settle(self) -> None:
        """Return when the queue would survive a kill of the server."""


class RabbitMQ:
    """The queue in RabbitMQ."""

    def __init__(self, url: str) -> None:
        self.url = url

    def queue(self, node: str, url: str) -> tuple[DeliveryQueue, Callable[[], Awaitable[None]]]:
        queue = RabbitMQDeliveryQueue(url, prefetch=PREFETCH, confirm_within=5, connect_within=5)
        return queue, queue.close

    def server(self, servers: Servers) -> Addressed:
        return servers.rabbitmq

    async def put(self, body: bytes) -> None:
        async with self.channel() as channel:
            await channel.default_exchange.publish(aio_pika.Message(body), "heyday.delivery")

    async def dead(self) -> list[bytes]:
        bodies = []
        async with self.channel() as channel:
            queue = await channel.get_queue("heyday.dead")
            while (message := await queue.get(fail=False)) is not None:
                await message.ack()
                bodies.append(message.body)
        return bodies

    async def purge(self) -> None:
        async with self.channel() as channel:
            await (await channel.get_queue("heyday.delivery")).purge()

    async def delete(self) -> None:
        async with self.channel() as channel:
            await channel.queue_delete("heyday.delivery")

    async def settle(self) -> None:
        # RabbitMQ 3 writes its list of quorum queues once nothing has changed in it for half a second. Killed before
        # that, it comes back with a queue that has no leader and confirms nothing. There is no event to wait for.
        await asyncio.sleep(1)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel with its own connection."""
        connection = await aio_pika.connect(self.url)
        async with connection, connection.channel() as channel:
            yield channel


class Streams:
    """The queue on Redis streams."""

    def __init__(self, url: str) -> None:
        self.url = url

    def queue(self, node: str, url: str) -> tuple[DeliveryQueue, Callable[[], Awaitable[None]]]:
        clients = connect(url)
        return StreamDeliveryQueue(clients, consumer=node), clients.close

    def server(self, servers: Servers) -> Addressed:
        return servers.redis

    async def put(self, body: bytes) -> None:
        async with self.client() as client:
            await client.xadd("heyday:delivery", {"body": body})

    async def dead(self) -> list[bytes]:
        async with self.client() as client:
            entries: Reply = await client.xrange("heyday:dead")
            await client.delete("heyday:dead")
        return [fields[b"body"] for _, fields in entries]

    async def purge(self) -> None:
        async with self.client() as client:
            await client.xtrim("heyday:delivery", maxlen=0, approximate=False)

    async def delete(self) -> None:
        async with self.client() as client:
            await client.delete("heyday:delivery")

    async def settle(self) -> None:
        """Return at once: a node creates a missing queue again."""

    def client(self) -> Redis:
        """A client of its own."""
        return Redis.from_url(self.url)


class Memory:
    """The fake, which stands in for RabbitMQ. It has no server to kill."""

    url = "memory://"

    def __init__(self) -> None:
        self._broker = MemoryOfBroker()

    def queue(self, node: str, url: str) -> tuple[DeliveryQueue, Callable[[], Awaitable[None]]]:
        queue = FakeDeliveryQueue(self._broker, prefetch=PREFETCH)
        return queue, queue.close

    def server(self, servers: Servers) -> Addressed:
        raise LookupError("a fake has no server")

    async def put(self, body: bytes) -> None:
        self._broker.publish(body)

    async def dead(self) -> list[bytes]:
        bodies = list(self._broker.dead)
        self._broker.dead.clear()
        return bodies

    async def purge(self) -> None:
        self._broker.purge()

    async def delete(self) -> None:
        self._broker.delete()

    async def settle(self) -> None:
        """Return at once."""


RABBITMQ = pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)

ON_SERVERS = pytest.mark.parametrize("broker", [RABBITMQ, "streams"], indirect=True)
"""A test that stops or kills the server of the queue."""


@pytest.fixture(params=["memory", RABBITMQ, "streams"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker in turn, empty."""
    if request.param == "memory":
        return Memory()
    if request.param == "rabbitmq":
        return RabbitMQ(request.getfixturevalue("rabbitmq_url"))
    return Streams(request.getfixturevalue("redis_url"))


class Nodes:
    """Makes queues for nodes and closes them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def unopened(self, node: str, *, url: str | None = None) -> DeliveryQueue:
        """The queue of a node that has not started, perhaps through a relay at `url`."""
        queue, close = self._broker.queue(node, url or self._broker.url)
        self._closers.append(close)
        return queue

    async def start(self, node: str, *, url: str | None = None) -> DeliveryQueue:
        """The open queue of a node."""
        queue = self.unopened(node, url=url)
        await queue.open()
        return queue

    async def close(self) -> None:
        """Close all."""
        for close in self._closers:
            await close()


@pytest.fixture
async def nodes(broker: Broker) -> AsyncIterator[Nodes]:
    """Nodes of the test, closed afterwards."""
    nodes = Nodes(broker)
    yield nodes
    await nodes.close()
