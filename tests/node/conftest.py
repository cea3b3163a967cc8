"""Worlds in which nodes run: on RabbitMQ, or several side by side on the Redis stream."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from service.email_stub import StubOptions, serve
from tests.conftest import TEMPLATE
from tests.node.harness import World
from tests.servers import Servers

MakeWorld = Callable[[], Awaitable[World]]


@pytest.fixture
async def world(servers: Servers, database: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    """A world whose delivery queue is in RabbitMQ."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    world = World(dsn=database, redis_url=redis_url, rabbitmq_url=rabbitmq_url, stub=stub)
    yield world
    await world.close()


@pytest.fixture
async def small_world(servers: Servers, database: str, redis_url: str) -> AsyncIterator[World]:
    """A world without RabbitMQ: its delivery queue is a Redis stream."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    world = World(dsn=database, redis_url=redis_url, rabbitmq_url=None, stub=stub)
    yield world
    await world.close()


@pytest.fixture
async def another_world(servers: Servers, database: str, redis_url: str) -> AsyncIterator[MakeWorld]:
    """Makes further worlds without RabbitMQ, up to 15, that know nothing of one another."""
    made: list[World] = []

    async def make() -> World:
        name = f"test_{uuid.uuid4().hex}"
        await _execute(servers, f'create database "{name}" template "{TEMPLATE}"')
        stub = await serve("127.0.0.1", 0, StubOptions())
        url = redis_url.rsplit("/", 1)[0] + f"/{len(made) + 1}"
        made.append(World(dsn=servers.postgres.dsn(name), redis_url=url, rabbitmq_url=None, stub=stub))
        return made[-1]

    yield make
    for world in made:
        await world.close()
        await _execute(servers, f'drop database "{world.dsn.rsplit("/", 1)[1]}" with (force)')


async def _execute(servers: Servers, statement: str) -> None:
    connection = await asyncpg.connect(servers.postgres.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
