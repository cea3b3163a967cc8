"""Servers for waves: empty at the start of each wave, with the email service in its own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aio_pika
import aiohttp
import asyncpg
import orjson
from redis.asyncio import Redis

from loadtest import servers
from loadtest.programs import cpu, last_word, program
from loadtest.servers import Servers

QUEUES = ("heyday.delivery", "heyday.dead")

ASK_TIMEOUT = aiohttp.ClientTimeout(total=30)
"""Seconds for an answer of the email service about what it has counted."""


class Bench:
    """The servers, and the email service at `stub_url`."""

    def __init__(self, servers: Servers, stub_url: str, stub_pid: int) -> None:
        self.servers = servers
        self.stub_url = stub_url
        self.stub_pid = stub_pid

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Make a new, migrated database for the block, empty Redis and RabbitMQ, and return the URL.

        Redis remembers which database it belongs to, and a node refuses another one.
        """
        async with Redis.from_url(self.servers.redis.url) as redis:
            await redis.flushall()
        if self.servers.rabbitmq is not None:
            async with await aio_pika.connect(self.servers.rabbitmq.url) as broker:
                channel = await broker.channel()
                for name in QUEUES:
                    await channel.queue_delete(name)
        dsn = await self.servers.database()
        try:
            yield dsn
        finally:
            connection = await asyncpg.connect(self.servers.postgres.dsn("postgres"))
            await connection.execute(f'drop database "{urlsplit(dsn).path[1:]}" with (force)')
            await connection.close()

    async def behave(self, *, latency: float = 0.0, error_rate: float = 0.0) -> None:
        """Reset the email service, and let it answer after `latency` seconds with this share of errors."""
        options = {"latency": [latency, latency], "errorRate": error_rate}
        async with aiohttp.ClientSession(self.stub_url, timeout=ASK_TIMEOUT, raise_for_status=True) as http:
            await http.put("/options", json=options)
            await http.delete("/stats")

    async def stats(self) -> dict[str, float]:
        """Return the counts of the email service; times in ms since the epoch."""
        async with aiohttp.ClientSession(self.stub_url, timeout=ASK_TIMEOUT) as http, http.get("/stats") as response:
            found: dict[str, float] = await response.json()
            return found

    async def acceptances(self) -> list[tuple[str | None, int]]:
        """Return the key of each accepted greeting with its time in ms since the epoch, in order."""
        async with (
            aiohttp.ClientSession(self.stub_url, timeout=ASK_TIMEOUT) as http,
            http.get("/accepted") as response,
        ):
            found = [orjson.loads(line) async for line in response.content]
        return [(one["key"], one["at"]) for one in found]

    async def accepted_at(self) -> list[float]:
        """Return the time of each acceptance in seconds since the epoch, in order."""
        async with (
            aiohttp.ClientSession(self.stub_url, timeout=ASK_TIMEOUT) as http,
            http.get("/accepted") as response,
        ):
            return [float(line.split(b'"at":', 1)[1].split(b",", 1)[0]) / 1000 async for line in response.content]

    def server_cpu(self) -> dict[str, float]:
        """Return the seconds of processor time that each server and the email service have used so far."""
        running = {"postgres": self.servers.postgres, "redis": self.servers.redis, "rabbitmq": self.servers.rabbitmq}
        used = {name: cpu(server.pid) for name, server in running.items() if server is not None}
        return {**used, "emailService": cpu(self.stub_pid)}


@asynccontextmanager
async def bench(*, rabbitmq: bool = True, keep: int = 1_000_000) -> AsyncIterator[Bench]:
    """Run servers and email service; it remembers `keep` acceptances in order to notice duplicates."""
    async with (
        servers.running(rabbitmq=rabbitmq) as running,
        program("actors.commands.sandbox.email_stub", "--port", "0", "--keep", str(keep)) as stub,
    ):
        yield Bench(running, await last_word(stub), stub.pid)
