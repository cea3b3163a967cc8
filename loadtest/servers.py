"""The servers of a measurement: real, private, with durable data, removed at the end."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from actors.commands.sandbox.servers.postgres import PostgresServer, create_database
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer, installed_sbin
from actors.commands.sandbox.servers.redis import RedisServer
from service.adapters.postgres.migrations import migrate


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers: PostgreSQL and Redis from their wheels, RabbitMQ as installed."""

    place: Path
    """A directory that is removed with the servers."""
    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitMQServer | None

    async def database(self) -> str:
        """Make a new, migrated database and return its URL. Redis is emptied, or nodes would refuse the database."""
        async with Redis.from_url(self.redis.url) as redis:
            await redis.flushall()
        name = f"bench_{uuid.uuid4().hex}"
        await create_database(self.postgres.dsn("postgres"), name)
        await migrate(self.postgres.dsn(name))
        return self.postgres.dsn(name)


@asynccontextmanager
async def running(*, rabbitmq: bool) -> AsyncIterator[Servers]:
    """Start the servers, and stop them at the end; RabbitMQ is included if it is wanted and installed."""
    with tempfile.TemporaryDirectory(prefix="heyday-bench-", dir="/var/tmp") as name:
        place = Path(name)
        os.chmod(place, 0o755)  # noqa: S103 - the servers' account must reach it
        servers = Servers(
            place,
            PostgresServer(place / "postgres"),
            RedisServer(place / "redis"),
            RabbitMQServer(place / "rabbitmq") if rabbitmq and installed_sbin() is not None else None,
        )
        started = [server for server in (servers.postgres, servers.redis, servers.rabbitmq) if server is not None]
        try:
            await asyncio.gather(*(server.start() for server in started))
            yield servers
        finally:
            for server in started:
                await server.stop()
