"""The servers of a rehearsal: private ones, or those of a staging cluster that the environment names."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import aio_pika
import asyncpg
from redis.asyncio import Redis

from actors.commands.chaos.disks import Disk, MemoryDisk, NoDisk, PowerDisk
from actors.commands.chaos.faults import Need
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer, installed_sbin
from actors.commands.sandbox.servers.redis import RedisServer
from service.adapters.rabbitmq.link import close, connect_to_any
from service.adapters.rabbitmq.link import translating as rabbitmq_errors
from service.adapters.redis.connection import connect as connect_to_redis
from service.adapters.redis.connection import translating as redis_errors
from service.domain import bundles
from service.ports.names import RABBITMQ_QUEUE, REDIS_QUEUE

AnyServer: TypeAlias = PostgresServer | RedisServer | RabbitMQServer

REQUEST_TIMEOUT = 10.0
"""Seconds for one request of the rehearsal itself."""

FULL_WITHIN = 60.0
"""Seconds for which Redis may be full."""

NAME = "heyday chaos"
"""The name of its connections to RabbitMQ."""

SPARE_CONNECTIONS = 15
"""Connections of a private PostgreSQL beyond those of the nodes."""


@dataclass
class Own:
    """Private servers, which may be killed."""

    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitMQServer | None
    disks: dict[str, Disk]
    """The disks by the names of their servers."""

    async def start(self) -> None:
        """Start them all."""
        await asyncio.gather(*(server.start() for server in self.all))
        for disk in self.disks.values():
            disk.sync()

    async def kill(self, logs: Path) -> None:
        """Kill them, and copy their logs into `logs`."""
        for server in self.all:
            with suppress(FileNotFoundError):
                shutil.copy(server.directory / "log", logs / f"{server.name.lower()}.log")
            await server.kill()
            await server.stop()
        for disk in self.disks.values():
            disk.close()

    @property
    def all(self) -> list[AnyServer]:
        """Every server."""
        return [self.postgres, self.redis, *([self.rabbitmq] if self.rabbitmq else [])]


@dataclass
class Servers:
    """The URLs of the servers, and operations on them. `lacking` has each missing precondition with its reason."""

    database_url: str
    redis_url: str
    rabbitmq_url: str | None
    lacking: dict[Need, str] = field(default_factory=dict)
    _own: Own | None = None

    @property
    def own(self) -> Own:
        """The private servers. Raises LookupError if they are not private."""
        if self._own is None:
            raise LookupError("these servers are not private")
        return self._own

    async def flush_redis(self) -> int:
        """Delete every key. Returns their number."""
        async with self._redis() as redis:
            count = int(await redis.dbsize())
            await redis.flushall()
            return count

    @asynccontextmanager
    async def redis_full(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Let Redis be full, so that it refuses writes, while the block runs. Yields a function for their number."""
        async with self._redis(within=FULL_WITHIN) as redis:

            async def refused() -> int:
                return int((await redis.info("errorstats")).get("errorstat_OOM", {}).get("count", 0))

            before = await refused()

            async def refused_since() -> int:
                return await refused() - before

            await redis.config_set("maxmemory-policy", "noeviction")
            await redis.config_set("maxmemory", 1)
            try:
                yield refused_since
            finally:
                await redis.config_set("maxmemory", 0)

    async def purge_queue(self) -> int:
        """Empty the delivery queue. Returns the number of bundles that were in it."""
        if self.rabbitmq_url is None:
            async with self._redis() as redis:
                return int(await redis.xtrim(REDIS_QUEUE.delivery, maxlen=0, approximate=False))
        async with self._channel(self.rabbitmq_url) as channel:
            return (await (await channel.get_queue(RABBITMQ_QUEUE.delivery)).purge()).message_count or 0

    async def delete_queue(self) -> int:
        """Delete the delivery queue. Returns the number of bundles that were in it."""
        if self.rabbitmq_url is None:
            async with self._redis() as redis:
                count = int(await redis.xlen(REDIS_QUEUE.delivery))
                await redis.delete(REDIS_QUEUE.delivery)
                return count
        async with self._channel(self.rabbitmq_url) as channel:
            return (await channel.queue_delete(RABBITMQ_QUEUE.delivery)).message_count or 0

    @asynccontextmanager
    async def stranger_at_the_queue(self) -> AsyncIterator[Callable[[], int]]:
        """Let another client use the delivery queue while the block runs: it takes bundles, and publishes its own.

        Yields a function for the number of bundles of heyday that it has taken.
        """
        if self.rabbitmq_url is None:
            raise LookupError("there is no RabbitMQ")
        own = (bundles.encode([uuid4() for _ in range(20)]), b"rubbish")
        taken: list[bytes] = []

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            if message.body not in own:
                taken.append(message.body)
            await message.ack()

        async with await connect_to_any(self.rabbitmq_url, name=NAME, within=REQUEST_TIMEOUT) as connection:
            async with rabbitmq_errors(within=REQUEST_TIMEOUT):
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=5)
                queue = await channel.get_queue(RABBITMQ_QUEUE.delivery)
                for body in own:
                    await channel.default_exchange.publish(aio_pika.Message(body), RABBITMQ_QUEUE.delivery)
                tag = await queue.consume(take)
            yield lambda: len(taken)
            await queue.cancel(tag)

    async def count_keys(self) -> int:
        """The number of keys of heyday in Redis."""
        async with self._redis() as redis:
            return sum([1 async for _ in redis.scan_iter("heyday:*", count=1000)])

    async def consumers(self) -> int:
        """The number of consumers of the delivery queue. Zero if there is no such queue."""
        if self.rabbitmq_url is not None:
            return (await self.queue_state())[0]
        async with self._redis() as redis:
            if not await redis.exists(REDIS_QUEUE.delivery):
                return 0
            return sum(int(group["consumers"]) for group in await redis.xinfo_groups(REDIS_QUEUE.delivery))

    async def queue_state(self) -> tuple[int, int]:
        """The number of consumers and of bundles of the delivery queue in RabbitMQ. Zero if there is no such queue."""
        if self.rabbitmq_url is None:
            return 0, 0
        async with self._channel(self.rabbitmq_url) as channel:
            try:
                state = (await channel.declare_queue(RABBITMQ_QUEUE.delivery, passive=True)).declaration_result
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return 0, 0
            return state.consumer_count or 0, state.message_count or 0

    @asynccontextmanager
    async def holding_every_connection(self) -> AsyncIterator[Callable[[], int]]:
        """Take every connection that PostgreSQL offers while the block runs. Yields a function for their number."""
        held: list[asyncpg.Connection[asyncpg.Record]] = []

        async def take() -> None:
            while True:
                try:
                    held.append(await asyncpg.connect(self.database_url, timeout=REQUEST_TIMEOUT))
                except (asyncpg.PostgresError, OSError):
                    await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            taking = group.create_task(take())
            try:
                yield lambda: len(held)
            finally:
                taking.cancel()
                for connection in held:
                    connection.terminate()

    @asynccontextmanager
    async def _redis(self, *, within: float = REQUEST_TIMEOUT) -> AsyncIterator[Redis]:
        clients = connect_to_redis(self.redis_url)
        try:
            async with redis_errors(within=within):
                yield clients.commands
        finally:
            await clients.close()

    @asynccontextmanager
    async def _channel(self, url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        connection = await connect_to_any(url, name=NAME, within=REQUEST_TIMEOUT)
        try:
            async with rabbitmq_errors(within=REQUEST_TIMEOUT):
                yield await connection.channel()
        finally:
            await close(connection)


@asynccontextmanager
async def own_servers(directory: Path, *, connections: int, needs: Collection[Need]) -> AsyncIterator[Servers]:
    """Start private servers in `directory`, with `connections` of PostgreSQL for the nodes. Raises EmbeddedError.

    They have the disks that are among `needs`, where that is possible.
    """
    has_rabbitmq = installed_sbin() is not None
    names = ["postgres", "redis", *(["rabbitmq"] if has_rabbitmq else [])]
    disks, lacking = make_disks(directory, names, needs)
    if not has_rabbitmq:
        why_not = "RabbitMQ is not installed here: the delivery queue is a Redis stream"
        lacking |= {Need.RABBITMQ: why_not, Need.OWN_RABBITMQ: why_not}
    powered = any(isinstance(disk, PowerDisk) for disk in disks.values())
    settings = ({} if powered else UNWRITTEN) | {
        "max_connections": str(connections + SPARE_CONNECTIONS),
        # Without reserves, so that a full disk has an effect at once.
        "min_wal_size": "32MB",
        "max_wal_size": "64MB",
        "wal_recycle": "off",
        "wal_init_zero": "off",
        # After a full disk, PostgreSQL 18 can stop in its recovery until the next checkpoint is due.
        "checkpoint_timeout": "30s",
    }
    own = Own(
        PostgresServer(directory / "postgres", settings=settings),
        RedisServer(directory / "redis"),
        RabbitMQServer(directory / "rabbitmq") if has_rabbitmq else None,
        disks,
    )
    try:
        await own.start()
        yield Servers(
            own.postgres.dsn(), own.redis.url, own.rabbitmq.url if own.rabbitmq else None, lacking=lacking, _own=own
        )
    finally:
        await own.kill(directory)


def make_disks(
    directory: Path, names: Sequence[str], needs: Collection[Need]
) -> tuple[dict[str, Disk], dict[Need, str]]:
    """Make the needed disks of the servers, and say which cannot be made, and why."""
    kinds: dict[str, type[Disk]] = {"postgres": MemoryDisk} if Need.SMALL_DISK in needs else {}
    if Need.POWER_DISKS in needs:
        kinds = dict.fromkeys(names, PowerDisk)
    disks: dict[str, Disk] = {}
    try:
        for name, kind in kinds.items():
            disks[name] = kind(directory / name)
    except NoDisk as why:
        for disk in disks.values():
            disk.close()
        return {}, {need: str(why) for need in (Need.SMALL_DISK, Need.POWER_DISKS) if need in needs}
    return disks, {}


def given_servers(database_url: str, redis_url: str, rabbitmq_url: str | None) -> Servers:
    """Servers that others may use: no fault affects them."""
    private = (Need.OWN_SERVERS, Need.OWN_RABBITMQ, Need.SMALL_DISK, Need.POWER_DISKS)
    lacking = dict.fromkeys(private, "the servers are not private")
    if rabbitmq_url is None:
        lacking[Need.RABBITMQ] = "HEYDAY_RABBITMQ_URL is not set: the delivery queue is a Redis stream"
    return Servers(database_url, redis_url, rabbitmq_url, lacking=lacking)
