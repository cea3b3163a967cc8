"""The newest PostgreSQL that is available as a wheel, beside the installed one of the other tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.commands.sandbox.servers.postgres import PostgresServer
from service.adapters.postgres.connection import Database
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import available, migrate
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.queries import load
from service.adapters.postgres.users import PostgresUsers
from service.domain.messages import Answer, Outcome, Status
from service.ports import Result
from tests.pgbouncer import server_directory
from tests.servers import POSTGRES_SETTINGS
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.service.adapters.postgres.test_queries import QUERIES


@pytest.fixture
async def newest() -> AsyncIterator[str]:
    """The URL of a migrated database of the wheel's server."""
    with server_directory() as directory:
        server = PostgresServer(directory / "postgres", settings=POSTGRES_SETTINGS)
        await server.start()
        assert await migrate(server.dsn()) == [migration.name for migration in available()]
        yield server.dsn()
        await server.kill()
        await server.stop()


async def test_every_query_and_the_way_out_work_on_the_newest_postgresql(newest: str) -> None:
    """The oldest supported version, and those in between, take the same statements."""
    connection = await asyncpg.connect(newest)
    assert connection.get_server_version().major >= 18
    for file, name in QUERIES:
        await connection.prepare(getattr(load(file), name))
    await connection.close()

    pool = Database(newest, size=4)
    await pool.open()
    messages = PostgresMessages(pool)
    users = PostgresUsers(pool, late_limit=LATE_LIMIT, tzdata="test")
    store = Store(newest, pool, messages, PostgresNodes(pool, tzdata="test"), PostgresPlanning(pool), users)
    ids = await store.queued(100)
    claimed = await messages.claim_for_sending(ids, incarnation=1)
    now = asyncio.get_running_loop().time()
    results = [Result(one.claim, Status.SENT, Answer(Outcome.ACCEPTED, 0.1), began=now) for one in claimed]
    await messages.record(results, at=now)

    assert await store.statuses() == dict.fromkeys(ids, "sent")
    assert {row["outcome"] for row in await store.fetch("select outcome from attempts")} == {"accepted"}
    await pool.close()
