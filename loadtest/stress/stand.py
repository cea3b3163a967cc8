"""The system under load: one node with real PostgreSQL, Redis, RabbitMQ, and the fake email service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from loadtest import crowd
from loadtest.api import serving
from loadtest.bench import Bench, bench
from loadtest.stress.greetings import Greetings
from loadtest.stress.results import Results
from loadtest.stress.shapes import Shape
from loadtest.stress.swarm import swarm

KNOWN = 1_000
"""Users that exist before the traffic, to be read."""

EMAILS_KEPT = 1_000_000


@dataclass(frozen=True, slots=True)
class Stand:
    """A node at `url`, its process, and its greetings."""

    bench: Bench
    dsn: str
    url: str
    pid: int
    known: tuple[str, ...]
    greetings: Greetings

    async def traffic(self, shape: Shape) -> Results:
        """Put traffic on the node, and return the results."""
        return await swarm(self.url, shape, self.bench.servers.place, known=self.known)


@asynccontextmanager
async def standing(*, people: int = 0, settings: Mapping[str, str] | None = None) -> AsyncIterator[Stand]:
    """Start a node with these settings, without rate limit of the API, and with `people` users to greet."""
    async with bench(keep=EMAILS_KEPT) as running, running.database() as dsn:
        greetings = Greetings(running, dsn, people)
        await greetings.sign_up()
        connection = await asyncpg.connect(dsn)
        await crowd.born(connection, KNOWN, since=people + 1, together=0, timezone="UTC", day=datetime.now(UTC).date())
        rows = await connection.fetch("select id::text from users order by id desc limit $1", KNOWN)
        await connection.execute("vacuum")
        await connection.close()
        await running.behave(latency=0.02)
        given = {"EMAIL_URL": running.stub_url, "LOG_LEVEL": "warning", **(settings or {})}
        async with serving(running.servers, dsn, "off", given) as node:
            yield Stand(running, dsn, node.url, node.pid, tuple(row["id"] for row in rows), greetings)
