"""Fixtures for every test: the real servers, a new database, a business clock to move, and certificates.

No server is started before a test asks for it, so tests of the domain start none.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path

import aio_pika
import pytest
import trustme
from redis.asyncio import Redis
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no annotations

from actors.commands.sandbox.servers.clock import business_now, run_clock
from actors.process import GC_THRESHOLDS
from tests.databases import Databases, KeptConnection
from tests.scheduling import Scheduling, tell_the_scheduler, uses_rabbitmq
from tests.servers import Servers, find_servers

os.environ.setdefault("SSL_CERT_FILE", os.devnull)
"""Programs that tests start trust only the authorities that a test gives them; aiohttp would read 140 at each start."""

FUZZ_EXAMPLES = 30
"""Requests of schemathesis in each run of the tests."""


def _run(work: Coroutine[object, object, object]) -> None:
    # A separate event loop in this thread, because servers end with the thread that started them.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/service/api/fuzz."""
    parser.addoption("--fuzz-examples", type=int, default=FUZZ_EXAMPLES, help="requests made from the OpenAPI document")


def import_share_of_tests(config: pytest.Config) -> None:
    """Compile a share of the tests before any is collected.

    In a new checkout each process would compile all of them, because all collect in the same order.
    """
    if (process := getattr(config, "workerinput", None)) and config.args == config.getini("testpaths"):
        files = sorted(config.rootpath.joinpath("tests").rglob("test_*.py"))
        number = int(process["workerid"].removeprefix("gw"))
        for file in files[number :: process["workercount"]]:
            with suppress(Exception, pytest.skip.Exception):  # its collection tells
                import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without the cyclic collector: modules and tests stay alive, and looking at them costs a quarter more.

    From then on it runs as seldom as in a node.
    """
    gc.disable()
    try:
        import_share_of_tests(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Run each file in one process, and tests with RabbitMQ in few processes."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the servers before the first test; fetching images or packages may exceed a test's time limit."""
    if not session.config.option.collectonly and any(
        "servers" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)
    ):
        find_servers()
    if hasattr(session.config, "workerinput"):
        tell_the_scheduler(session.config.workerinput, session.items)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL, Redis and RabbitMQ, which tests may stop, kill and start.

    A server runs when a test has asked for it by `database`, `redis_url` or `rabbitmq_url`. They start it again if an
    earlier test has stopped it.
    """
    servers = find_servers()
    yield servers
    _run(servers.close())


@pytest.fixture(scope="session")
def _databases(servers: Servers) -> Iterator[Databases]:
    databases = Databases(servers.postgres)
    yield databases
    databases.close()


@pytest.fixture
def database(servers: Servers, _databases: Databases) -> Iterator[str]:
    """The URL of a new, migrated database, or of the last test's if that test wrote nothing."""
    name = _databases.take()
    yield servers.postgres.dsn(name)
    _databases.give_back(name)


@pytest.fixture
async def redis_url(servers: Servers) -> str:
    """The URL of an empty Redis."""
    await servers.start([servers.redis])
    async with Redis.from_url(servers.redis.url) as client:
        await client.flushall()
    return servers.redis.url


@pytest.fixture
async def rabbitmq_url(servers: Servers, request: pytest.FixtureRequest) -> str:
    """The URL of a RabbitMQ without heyday's queues and exchanges."""
    assert uses_rabbitmq(request.node), "a test that asks for `rabbitmq_url` while it runs needs pytest.mark.rabbitmq"
    await servers.start([servers.rabbitmq])
    async with await aio_pika.connect(servers.rabbitmq.url) as connection:
        channel = await connection.channel()
        for name in ("heyday.delivery", "heyday.dead", "heyday.dead.events", "heyday.cluster"):
            await channel.queue_delete(name)
        for name in ("heyday.delivery", "heyday.dead"):
            await channel.exchange_delete(name)
    return servers.rabbitmq.url


class Clock:
    """The business clock of one database. Between two calls it runs at its rate, 1 unless changed."""

    def __init__(self, connection: KeptConnection) -> None:
        self._connection = connection
        self._rate = 1.0

    async def now(self) -> datetime:
        """Return the business time."""
        return await self._connection.run(business_now)

    async def set(self, at: datetime) -> None:
        """Set it to this aware datetime, forward or backward."""
        await self._connection.run(lambda connection: run_clock(connection, at=at, rate=self._rate))

    async def advance(self, by: timedelta) -> None:
        """Advance it by this duration."""
        await self.set(await self.now() + by)

    async def rate(self, rate: float) -> None:
        """Let it run this many times as fast as real time; 0 stops it."""
        self._rate = rate
        await self.set(await self.now())


@pytest.fixture
async def clock(database: str) -> AsyncIterator[Clock]:
    """The business clock of the test's database, real until it is moved."""
    connection = KeptConnection(database)
    yield Clock(connection)
    await connection.close()


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
