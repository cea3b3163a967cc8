"""Fixtures of worlds for nodes: one with RabbitMQ, or several with the Redis stream."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.commands.sandbox.email_stub import StubOptions, serve
from tests.databases import create_database, drop_database
from tests.node.harness import World
from tests.servers import Servers

MakeWorld = Callable[[], Awaitable[World]]


@pytest.fixture
async def world(database: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    """A world with RabbitMQ as the delivery queue."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    world = World(dsn=database, redis_url=redis_url, rabbitmq_url=rabbitmq_url, stub=stub)
    yield world
    await world.close()


@pytest.fixture
async def small_world(database: str, redis_url: str) -> AsyncIterator[World]:
    """A world without RabbitMQ: its delivery queue is a Redis stream."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    world = World(dsn=database, redis_url=redis_url, rabbitmq_url=None, stub=stub)
    yield world
    await world.close()


@pytest.fixture
async def another_world(servers: Servers, database: str, redis_url: str) -> AsyncIterator[MakeWorld]:
    """Makes up to 15 further independent worlds without RabbitMQ."""
    made: list[World] = []

    async def make() -> World:
        name = f"test_{uuid.uuid4().hex}"
        await create_database(servers, name)
        stub = await serve("127.0.0.1", 0, StubOptions())
        url = redis_url.rsplit("/", 1)[0] + f"/{len(made) + 1}"
        made.append(World(dsn=servers.postgres.dsn(name), redis_url=url, rabbitmq_url=None, stub=stub))
        return made[-1]

    yield make
    for world in made:
        await world.close()
        await drop_database(servers, world.dsn.rsplit("/", 1)[1])
