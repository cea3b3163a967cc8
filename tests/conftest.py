"""Fixtures that every test may use: the real servers, a fresh database, a business clock to move, and certificates.

No server is started before a test asks for it, so tests of the domain start none.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import aio_pika
import asyncpg
import pytest
import trustme
from redis.asyncio import Redis

from service.embedded.clock import business_now, run_clock
from tests.servers import Servers, find_servers

TEMPLATE = "heyday_template"


def _run(work: Coroutine[object, object, None]) -> None:
    # A loop of its own in this thread: servers end with the thread that started them.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/api/fuzz takes."""
    parser.addoption("--fuzz-examples", type=int, default=300, help="requests made from the OpenAPI document")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the servers before the first test: fetching images or packages may take longer than a test may."""
    if not session.config.option.collectonly and any(
        "_fleet" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)
    ):
        find_servers()


@pytest.fixture(scope="session")
def _fleet() -> Iterator[Servers]:
    """The servers, found and not started."""
    fleet = find_servers()
    yield fleet
    _run(fleet.close())


@pytest.fixture(scope="session")
def servers(_fleet: Servers) -> Servers:
    """PostgreSQL, Redis and RabbitMQ, running, to be stopped, killed and started by tests."""
    _run(_fleet.start())
    return _fleet


@pytest.fixture(autouse=True)
def _servers_run_again(request: pytest.FixtureRequest) -> None:
    """What an earlier test has killed runs again."""
    if "servers" in request.fixturenames:
        fleet: Servers = request.getfixturevalue("servers")
        _run(fleet.start())


@pytest.fixture
async def database(_fleet: Servers) -> AsyncIterator[str]:
    """The URL of a fresh, migrated database."""
    name = f"test_{uuid.uuid4().hex}"
    await _fleet.start([_fleet.postgres])
    await _make_template(_fleet)
    await _execute(_fleet, f'create database "{name}" template "{TEMPLATE}"')
    yield _fleet.postgres.dsn(name)
    await _fleet.start([_fleet.postgres])
    await _execute(_fleet, f'drop database "{name}" with (force)')


@pytest.fixture
async def redis_url(_fleet: Servers) -> str:
    """The URL of an empty Redis."""
    await _fleet.start([_fleet.redis])
    async with Redis.from_url(_fleet.redis.url) as client:
        await client.flushall()
    return _fleet.redis.url


@pytest.fixture
async def rabbitmq_url(_fleet: Servers) -> str:
    """The URL of a RabbitMQ without our queues and exchanges."""
    await _fleet.start([_fleet.rabbitmq])
    async with await aio_pika.connect(_fleet.rabbitmq.url) as connection:
        channel = await connection.channel()
        for name in ("heyday.delivery", "heyday.dead"):
            await channel.queue_delete(name)
            await channel.exchange_delete(name)
    return _fleet.rabbitmq.url


class Clock:
    """The business clock of one database. Between two calls it runs at its rate, 1 unless changed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._rate = 1.0

    async def now(self) -> datetime:
        """What it shows."""
        connection = await asyncpg.connect(self._dsn)
        try:
            return await business_now(connection)
        finally:
            await connection.close()

    async def set(self, at: datetime) -> None:
        """Let it show this aware datetime, forward or backward."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await run_clock(connection, at=at, rate=self._rate)
        finally:
            await connection.close()

    async def advance(self, by: timedelta) -> None:
        """Move it."""
        await self.set(await self.now() + by)

    async def rate(self, rate: float) -> None:
        """Let it run this many times as fast from what it shows now; 0 stops it."""
        self._rate = rate
        await self.set(await self.now())


@pytest.fixture
def clock(database: str) -> Clock:
    """The business clock of the test's database, real until it is moved."""
    return Clock(database)


@pytest.fixture(scope="session")
def certificate(_authority: trustme.CA) -> trustme.LeafCert:
    """What servers of tests show: it is for `localhost` and 127.0.0.1, and is gone when the tests end."""
    return _authority.issue_cert("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def trusted(_authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the authority that signed `certificate`, as clients are given it."""
    return _written(_authority, tmp_path_factory)


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of another authority of the same name, which has signed nothing."""
    return _written(trustme.CA(), tmp_path_factory)


@pytest.fixture(scope="session")
def _authority() -> trustme.CA:
    return trustme.CA()


def _written(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def _make_template(fleet: Servers) -> None:
    from service.adapters.postgres.migrations import migrate

    connection = await asyncpg.connect(fleet.postgres.dsn("postgres"))
    try:
        if await connection.fetchval("select true from pg_database where datname = $1 and datistemplate", TEMPLATE):
            return
        await connection.execute(f'drop database if exists "{TEMPLATE}"')
        await connection.execute(f'create database "{TEMPLATE}"')
        await migrate(fleet.postgres.dsn(TEMPLATE))
        await connection.execute(f'alter database "{TEMPLATE}" is_template true')
    finally:
        await connection.close()


async def _execute(fleet: Servers, statement: str) -> None:
    connection = await asyncpg.connect(fleet.postgres.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
