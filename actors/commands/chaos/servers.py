"""The servers of a rehearsal: private ones, or those of a staging cluster that the environment names."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import asyncpg
from redis.asyncio import Redis

from actors.chaos.faults import Need
from actors.chaos.quota import NoQuota, Quota
from service.adapters.rabbitmq.topology import DELIVERY as QUEUE
from service.adapters.stream_queue import DELIVERY as STREAM
from service.embedded.postgres import UNWRITTEN, PostgresServer
from service.embedded.rabbitmq import RabbitMQServer, installed_sbin
from service.embedded.redis import RedisServer

WITHIN = 10.0
"""Seconds for what we ourselves ask of a server."""

SPARE_CONNECTIONS = 15
"""Connections of our own PostgreSQL beyond those of the nodes."""


@dataclass
class Own:
    """Servers of our own, which may be killed."""

    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitMQServer | None
    quota: Quota | None

    async def start(self) -> None:
        """Start them all."""
        await asyncio.gather(*(server.start() for server in self._all()))

    async def kill(self, logs: Path) -> None:
        """End them; what they have written for people is left in `logs`."""
        for server in self._all():
            with suppress(FileNotFoundError):
                shutil.copy(server.directory / "log", logs / f"{server.name.lower()}.log")
            await server.kill()
            await server.stop()
        if self.quota is not None:
            self.quota.close()

    def _all(self) -> list[PostgresServer | RedisServer | RabbitMQServer]:
        return [self.postgres, self.redis, *([self.rabbitmq] if self.rabbitmq else [])]


@dataclass
class Servers:
    """Where the servers are, what can be done to them, and what cannot and why (`lacking`)."""

    database_url: str
    redis_url: str
    rabbitmq_url: str | None
    lacking: dict[Need, str] = field(default_factory=dict)
    _own: Own | None = None

    @property
    def own(self) -> Own:
        """Those that are ours. Raises LookupError when they are not."""
        if self._own is None:
            raise LookupError("these servers are not ours")
        return self._own

    async def flush_redis(self) -> int:
        """Empty it; returns how many keys there were."""
        async with self._redis() as redis:
            count = int(await redis.dbsize())
            await redis.flushall()
            return count

    @asynccontextmanager
    async def redis_full(self) -> AsyncIterator[int]:
        """Let it be full, so that it refuses writes, while the block runs; yields the bytes that it has."""
        async with self._redis() as redis:
            await redis.config_set("maxmemory-policy", "noeviction")
            used = int((await redis.info("memory"))["used_memory"])
            await redis.config_set("maxmemory", 1)
            try:
                yield used
            finally:
                await redis.config_set("maxmemory", 0)

    async def purge_queue(self) -> int:
        """Empty the delivery queue; returns how many bundles were waiting in it."""
        if self.rabbitmq_url is None:
            async with self._redis() as redis:
                return int(await redis.xtrim(STREAM, maxlen=0, approximate=False))
        async with self._channel(self.rabbitmq_url) as channel:
            return (await (await channel.get_queue(QUEUE)).purge()).message_count or 0

    async def delete_queue(self) -> int:
        """Delete the delivery queue; returns how many bundles were waiting in it."""
        if self.rabbitmq_url is None:
            async with self._redis() as redis:
                count = int(await redis.xlen(STREAM))
                await redis.delete(STREAM)
                return count
        async with self._channel(self.rabbitmq_url) as channel:
            return (await channel.queue_delete(QUEUE)).message_count or 0

    async def count_keys(self) -> int:
        """How many keys of heyday's are in Redis."""
        async with self._redis() as redis:
            return sum([1 async for _ in redis.scan_iter("heyday:*", count=1000)])

    async def queue_state(self) -> tuple[int, int]:
        """Consumers and bundles of the delivery queue in RabbitMQ; none where there is no such queue."""
        if self.rabbitmq_url is None:
            return 0, 0
        async with self._channel(self.rabbitmq_url) as channel:
            try:
                state = (await channel.declare_queue(QUEUE, passive=True)).declaration_result
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return 0, 0
            return state.consumer_count or 0, state.message_count or 0

    @asynccontextmanager
    async def holding_every_connection(self) -> AsyncIterator[Callable[[], int]]:
        """Take every connection that PostgreSQL has to give, now or while it lasts; tells how many are held."""
        held: list[asyncpg.Connection[asyncpg.Record]] = []

        async def take() -> None:
            while True:
                try:
                    held.append(await asyncpg.connect(self.database_url, timeout=WITHIN))
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
    async def _redis(self) -> AsyncIterator[Redis]:
        client = Redis.from_url(self.redis_url, socket_timeout=WITHIN, socket_connect_timeout=WITHIN)
        try:
            yield client
        finally:
            await client.aclose()

    @asynccontextmanager
    async def _channel(self, url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with asyncio.timeout(WITHIN), await aio_pika.connect(url, timeout=WITHIN) as connection:
            yield await connection.channel()


@asynccontextmanager
async def own_servers(directory: Path, *, connections: int, with_quota: bool) -> AsyncIterator[Servers]:
    """Private servers in `directory`, with `connections` of PostgreSQL for the nodes. Raises EmbeddedError.

    `with_quota`: PostgreSQL gets a small disk, where that can be had.
    """
    lacking: dict[Need, str] = {}
    quota = None
    if with_quota:
        try:
            quota = Quota(directory / "postgres")
        except NoQuota as why:
            lacking[Need.QUOTA] = str(why)
    has_rabbitmq = installed_sbin() is not None
    if not has_rabbitmq:
        why_not = "RabbitMQ is not installed here: the delivery queue is a Redis stream"
        lacking |= {Need.RABBITMQ: why_not, Need.OWN_RABBITMQ: why_not}
    settings = UNWRITTEN | {
        "max_connections": str(connections + SPARE_CONNECTIONS),
        # So that a full disk is felt at once: nothing is kept in stock.
        "min_wal_size": "32MB",
        "max_wal_size": "64MB",
        "wal_recycle": "off",
        "wal_init_zero": "off",
        # PostgreSQL 18 was seen to stand in its recovery from a full disk until the next checkpoint was due.
        "checkpoint_timeout": "30s",
    }
    own = Own(
        PostgresServer(directory / "postgres", settings=settings),
        RedisServer(directory / "redis"),
        RabbitMQServer(directory / "rabbitmq") if has_rabbitmq else None,
        quota,
    )
    try:
        await own.start()
        yield Servers(
            own.postgres.dsn(), own.redis.url, own.rabbitmq.url if own.rabbitmq else None, lacking=lacking, _own=own
        )
    finally:
        await own.kill(directory)


def given_servers(database_url: str, redis_url: str, rabbitmq_url: str | None) -> Servers:
    """Servers that are somebody's: nothing is done to them that others would feel."""
    lacking = dict.fromkeys((Need.OWN_SERVERS, Need.OWN_RABBITMQ, Need.QUOTA), "the servers are not ours to harm")
    if rabbitmq_url is None:
        lacking[Need.RABBITMQ] = "HEYDAY_RABBITMQ_URL is not set: the delivery queue is a Redis stream"
    return Servers(database_url, redis_url, rabbitmq_url, lacking=lacking)
