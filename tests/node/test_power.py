"""All servers lose their power in the middle of a wave: what each may lose, and heyday's promises after it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from aiormq.exceptions import AMQPError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.commands.chaos.disks import NoDisk, PowerDisk, cut_power
from actors.commands.sandbox.email_stub import StubOptions, serve
from actors.commands.sandbox.servers.postgres import PostgresServer
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer, installed_sbin
from actors.commands.sandbox.servers.redis import RedisServer
from actors.recovery import QUEUED_FOR
from tests.databases import create_database
from tests.node.harness import World
from tests.servers import Servers, data_directory, find_servers, installed_postgres

PEOPLE = 500

REDIS_MAY_LOSE = 2.0
"""Seconds of confirmed writes: Redis syncs its file every second, and goes on writing during a slow sync."""

LATE = 3.0
"""Seconds by which a busy machine may sync late. The writes begin earlier than both together before the cut."""

PACE = 0.01
"""Seconds between two writes."""

Write = Callable[[int], Awaitable[object]]


@dataclass
class Confirmed:
    """Numbers that a server has confirmed, one after another, and when."""

    at: list[float] = field(default_factory=list)

    async def write(self, write: Write) -> None:
        """Write the next number again and again, until the server is gone."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, AMQPError):
            for number in count():
                await write(number)
                self.at.append(time.monotonic())
                await asyncio.sleep(PACE)


@dataclass
class Machine:
    """The three servers, each on a disk of its own."""

    place: Path
    servers: Servers
    disks: list[PowerDisk]

    @property
    def homes(self) -> list[Path]:
        """The directories on the disks."""
        return [self.place / name for name in ("postgres", "redis", "rabbitmq")]

    async def lose_power(self) -> None:
        """Cut the power of everything, see that it was one, and start the servers again."""
        unsynced = [home / "unsynced" for home in self.homes]
        for file in unsynced:
            file.write_bytes(b"x")
        await cut_power(list(zip(self.servers.all, self.disks, strict=True)))  # type: ignore[arg-type]
        # A sync of the server may have written the name of the file, and nothing in it.
        assert [file for file in unsynced if file.exists() and file.read_bytes()] == []
        await self.servers.start()


@pytest.fixture
def disks() -> Iterator[tuple[Path, list[PowerDisk]]]:
    """A directory, and three disks in it."""
    place = data_directory()
    made: list[PowerDisk] = []
    try:
        made += [PowerDisk(place / name) for name in ("postgres", "redis", "rabbitmq")]
        yield place, made
    except NoDisk as why:
        pytest.skip(f"this machine has no disk whose power can be cut: {why}")
    finally:
        for disk in made:
            disk.close()
        shutil.rmtree(place)


@pytest.fixture
async def machine(disks: tuple[Path, list[PowerDisk]]) -> AsyncIterator[Machine]:
    """Three servers with their default durability."""
    place, power = disks
    redis = find_servers().redis
    servers = Servers(
        PostgresServer(place / "postgres", binaries=installed_postgres()),
        RedisServer(place / "redis", executable=redis._executable if isinstance(redis, RedisServer) else None),
        RabbitMQServer(place / "rabbitmq", sbin=installed_sbin()),
    )
    await servers.start()
    yield Machine(place, servers, power)
    for server in servers.all:
        await server.kill()
        await server.stop()


@pytest.fixture
async def powered_world(machine: Machine) -> AsyncIterator[World]:
    """A world on these servers."""
    await create_database(machine.servers, "powered")
    for disk in machine.disks:
        disk.sync()
    stub = await serve("127.0.0.1", 0, StubOptions())
    servers = machine.servers
    world = World(
        dsn=servers.postgres.dsn("powered"), redis_url=servers.redis.url, rabbitmq_url=servers.rabbitmq.url, stub=stub
    )
    yield world
    await world.close()


@pytest.mark.nightly
async def test_a_power_cut_of_all_servers_in_mid_wave(machine: Machine, powered_world: World) -> None:
    """PostgreSQL and RabbitMQ lose nothing that they confirmed, Redis its last two seconds; heyday loses nothing."""
    world, servers = powered_world, machine.servers
    commits, sets, publishes = Confirmed(), Confirmed(), Confirmed()

    postgres = await asyncpg.connect(servers.postgres.dsn())
    await postgres.execute("create table confirmed (n int)")
    redis = Redis.from_url(servers.redis.url, retry=Retry(NoBackoff(), 0))  # no number is written after the cut
    broker = await aio_pika.connect(servers.rabbitmq.url)
    channel = await broker.channel()
    await channel.declare_queue("confirmed", durable=True, arguments={"x-queue-type": "quorum"})

    def publish(number: int) -> Awaitable[object]:
        message = aio_pika.Message(str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        return channel.default_exchange.publish(message, "confirmed", timeout=5)

    async with asyncio.TaskGroup() as group:
        group.create_task(commits.write(lambda number: postgres.execute("insert into confirmed values ($1)", number)))
        group.create_task(sets.write(lambda number: redis.set("confirmed", number)))
        group.create_task(publishes.write(publish))
        await world.begin()
        for _ in range(2):
            await world.node(EMAIL_CONCURRENCY="5")
        due = await world.wave(PEOPLE)
        world.stub.change(world.stub.options.changed({"latency": 0.05}))
        await world.clock.set(due)
        await world.accepted(200)
        cut_at = time.monotonic()
        await machine.lose_power()
    postgres.terminate()
    with suppress(AMQPError, OSError):
        await broker.close()

    postgres = await asyncpg.connect(servers.postgres.dsn())
    assert await postgres.fetchval("select count(*) from confirmed") >= len(commits.at)
    await postgres.close()
    kept = int(await redis.get("confirmed") or -1) + 1
    await redis.aclose()
    assert kept > 0
    assert all(at > cut_at - REDIS_MAY_LOSE - LATE for at in sets.at[kept:])
    async with await aio_pika.connect(servers.rabbitmq.url) as broker:
        queue = await (await broker.channel()).get_queue("confirmed")
        found = set()
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            found.add(int(message.body))
        assert found >= set(range(len(publishes.at)))

    node = next(node for node in world.nodes if node.running)
    await world.clock.set(due + QUEUED_FOR + timedelta(seconds=30))
    await node.call("POST", "/api/v1/jobs/recovery:run")
    await world.all_are("sent", PEOPLE)
    await world.assert_nobody_was_greeted_twice()
    await world.assert_nobody_was_greeted_early()
