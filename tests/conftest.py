"""Fixtures for every test: the real servers, a new database, a business clock to move, and certificates.

No server is started before a test asks for it, so tests of the domain start none.
"""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aio_pika
import asyncpg
import pytest
import trustme
from redis.asyncio import Redis

from actors.commands.sandbox.servers.clock import business_now, run_clock
from tests.servers import Servers, find_servers

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

TEMPLATE = "heyday_template"

FUZZ_EXAMPLES = 30
"""Requests of schemathesis in each run of the tests."""


def _run(work: Coroutine[object, object, object]) -> None:
    # A separate event loop in this thread, because servers end with the thread that started them.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/service/api/fuzz."""
    parser.addoption("--fuzz-examples", type=int, default=FUZZ_EXAMPLES, help="requests made from the OpenAPI document")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the cyclic collector: modules and tests stay alive, and looking at them costs a quarter more."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


LONG = (
    "tests/actors/commands/chaos/",
    "tests/actors/commands/demo/",
    "tests/simulation/",
    "tests/node/",
    "tests/upgrade/",
    "tests/docs/",
    "tests/loadtest/",
    "tests/deploy/",
    "tests/watching/",
)
"""Folders whose files take long, because they start programs or calculate."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files: a file runs in one process, and the others would wait for the last."""

    def rank(item: pytest.Item) -> int:
        return next((number for number, folder in enumerate(LONG) if item.nodeid.startswith(folder)), len(LONG))

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the servers before the first test; fetching images or packages may exceed a test's time limit."""
    if not session.config.option.collectonly and any(
        "_fleet" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)
    ):
        find_servers()


@pytest.fixture(scope="session")
def _fleet() -> Iterator[Servers]:
    """The servers, before their start."""
    fleet = find_servers()
    yield fleet
    _run(fleet.close())


@pytest.fixture(scope="session")
def servers(_fleet: Servers) -> Servers:
    """Running PostgreSQL, Redis and RabbitMQ, which tests may stop, kill and start."""
    _run(_fleet.start())
    return _fleet


@pytest.fixture(autouse=True)
def _servers_run_again(request: pytest.FixtureRequest) -> None:
    """Start the servers that an earlier test has stopped."""
    if "servers" in request.fixturenames:
        fleet: Servers = request.getfixturevalue("servers")
        _run(fleet.start())


@pytest.fixture
async def database(_fleet: Servers, _unwritten: dict[str, int]) -> AsyncIterator[str]:
    """The URL of a new, migrated database, or of the last test's if that test wrote nothing."""
    await _fleet.start([_fleet.postgres])
    if not _unwritten:
        async with _administrator(_fleet) as connection:
            await _create_unwritten(_fleet, connection, _unwritten)
    name, next_transaction = _unwritten.popitem()
    yield _fleet.postgres.dsn(name)
    await _fleet.start([_fleet.postgres])
    async with _administrator(_fleet) as connection:
        idle = f"{NEXT_TRANSACTION} where not exists (select from pg_stat_activity where datname = $1)"
        if await connection.fetchval(idle, name) == next_transaction:
            _unwritten[name] = next_transaction
        else:
            await _drop(connection, name)
            # The next test's is made here, because a connection costs a third of what a database does.
            await _create_unwritten(_fleet, connection, _unwritten)


@pytest.fixture(scope="session")
def _unwritten() -> dict[str, int]:
    """The database in which nothing was written since it was made, if there is one, and the next transaction."""
    return {}


@pytest.fixture
async def redis_url(_fleet: Servers) -> str:
    """The URL of an empty Redis."""
    await _fleet.start([_fleet.redis])
    async with Redis.from_url(_fleet.redis.url) as client:
        await client.flushall()
    return _fleet.redis.url


@pytest.fixture
async def rabbitmq_url(_fleet: Servers) -> str:
    """The URL of a RabbitMQ without heyday's queues and exchanges."""
    await _fleet.start([_fleet.rabbitmq])
    async with await aio_pika.connect(_fleet.rabbitmq.url) as connection:
        channel = await connection.channel()
        for name in ("heyday.delivery", "heyday.dead", "heyday.dead.events", "heyday.cluster"):
            await channel.queue_delete(name)
        for name in ("heyday.delivery", "heyday.dead"):
            await channel.exchange_delete(name)
    return _fleet.rabbitmq.url


class Clock:
    """The business clock of one database. Between two calls it runs at its rate, 1 unless changed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._rate = 1.0

    async def now(self) -> datetime:
        """Return the business time."""
        connection = await asyncpg.connect(self._dsn)
        try:
            return await business_now(connection)
        finally:
            await connection.close()

    async def set(self, at: datetime) -> None:
        """Set it to this aware datetime, forward or backward."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await run_clock(connection, at=at, rate=self._rate)
        finally:
            await connection.close()

    async def advance(self, by: timedelta) -> None:
        """Advance it by this duration."""
        await self.set(await self.now() + by)

    async def rate(self, rate: float) -> None:
        """Let it run this many times as fast as real time; 0 stops it."""
        self._rate = rate
        await self.set(await self.now())


@pytest.fixture
def clock(database: str) -> Clock:
    """The business clock of the test's database, real until it is moved."""
    return Clock(database)


@pytest.fixture(scope="session")
def certificate(_authority: trustme.CA) -> trustme.LeafCert:
    """A certificate for `localhost` and 127.0.0.1, removed at the end of the tests."""
    return _authority.issue_cert("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def trusted(_authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the authority that signed `certificate`, for clients."""
    return _written(_authority, tmp_path_factory)


@pytest.fixture(scope="session")
def authority(_authority: trustme.CA) -> str:
    """The authority that signed `certificate`, in PEM."""
    return _authority.cert_pem.bytes().decode()


@pytest.fixture(scope="session")
def client_pem(_authority: trustme.CA) -> str:
    """The certificate of a client with its key, in PEM."""
    return _authority.issue_cert("client.example").private_key_and_cert_chain_pem.bytes().decode()


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of another authority with the same name, which signed no certificate."""
    return _written(trustme.CA(), tmp_path_factory)


@pytest.fixture(scope="session")
def _authority() -> trustme.CA:
    return trustme.CA()


def _written(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


NEXT_TRANSACTION = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
"""The number of the next transaction that writes, in any database of the server. Those that only read take none."""


async def create_database(fleet: Servers, name: str) -> None:
    """Create a migrated database: a copy of a template, which is migrated once."""
    async with _administrator(fleet) as connection:
        await _create(fleet, connection, name)


async def drop_database(fleet: Servers, name: str) -> None:
    """Drop a database, and end the connections to it."""
    async with _administrator(fleet) as connection:
        await _drop(connection, name)


@asynccontextmanager
async def _administrator(fleet: Servers) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(fleet.postgres.dsn("postgres"))
    try:
        yield connection
    finally:
        await connection.close()


async def _create_unwritten(fleet: Servers, connection: Connection, unwritten: dict[str, int]) -> None:
    name = f"test_{uuid.uuid4().hex}"
    await _create(fleet, connection, name)
    unwritten[name] = await connection.fetchval(NEXT_TRANSACTION)


async def _create(fleet: Servers, connection: Connection, name: str) -> None:
    await _make_template(fleet, connection)
    # Copies of files cost half of what copies by the log do, which are the default since PostgreSQL 15.
    strategy = " strategy file_copy" if connection.get_server_version() >= (15,) else ""
    await connection.execute(f'create database "{name}" template "{TEMPLATE}"{strategy}')


async def _drop(connection: Connection, name: str) -> None:
    await connection.execute(f'drop database "{name}" with (force)')


async def _make_template(fleet: Servers, connection: Connection) -> None:
    from service.adapters.postgres.migrations import migrate

    if await connection.fetchval("select true from pg_database where datname = $1 and datistemplate", TEMPLATE):
        return
    await connection.execute(f'drop database if exists "{TEMPLATE}"')
    await connection.execute(f'create database "{TEMPLATE}"')
    await migrate(fleet.postgres.dsn(TEMPLATE))
    await connection.execute(f'alter database "{TEMPLATE}" is_template true')
