"""Several servers in one URL: the writable one is found, also after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from actors.commands.sandbox.servers.postgres import PostgresServer
from actors.commands.sandbox.servers.relay import relayed
from service.adapters.postgres.connection import Database, connect_once
from service.ports import Unavailable
from tests.node.harness import eventually
from tests.pgbouncer import server_directory
from tests.servers import POSTGRES_SETTINGS, find_servers, installed_postgres
from tests.standby import Standby, several
from tests.stopwatch import Stopwatch


@pytest.fixture
async def pair() -> AsyncIterator[tuple[PostgresServer, Standby]]:
    """A primary and its standby."""
    find_servers()  # installs the programs
    with server_directory() as directory:
        settings = POSTGRES_SETTINGS | {"wal_level": "replica", "max_wal_senders": "4"}
        primary = PostgresServer(directory / "a", binaries=installed_postgres(), settings=settings)
        standby = Standby(directory / "b", primary, binaries=installed_postgres(), settings=POSTGRES_SETTINGS)
        await primary.start()
        await standby.start()
        yield primary, standby
        for server in (primary, standby):
            await server.kill()
            await server.stop()


async def test_a_pool_writes_to_the_primary_and_to_the_standby_that_is_promoted(
    pair: tuple[PostgresServer, Standby],
) -> None:
    """URL and pool stay the same. There is an outage in between."""
    primary, standby = pair
    pool = Database(several(standby.dsn("postgres"), primary.dsn("postgres")), size=2)
    await pool.open()
    await pool.fetch("create table written (n integer)")
    await pool.fetch("insert into written values (1)")
    other = await asyncpg.connect(standby.dsn("postgres"))

    async def replicated() -> bool:
        return bool(await other.fetchval("select to_regclass('written') is not null"))

    await eventually(replicated)  # the primary does not wait for its standby
    await primary.kill()
    with pytest.raises(Unavailable):
        await pool.fetch("insert into written values (2)")
    with pytest.raises(Unavailable, match=r"can be written|refused"):
        await pool.fetch("insert into written values (2)")
    await other.close()
    await standby.promote()

    async def written() -> bool:
        try:
            await pool.fetch("insert into written values (3)")
        except Unavailable:
            return False
        return True

    await eventually(written)
    assert await pool.value("select max(n) from written") == 3
    await pool.close()


async def test_a_server_that_does_not_answer_leaves_time_for_the_others(database: str) -> None:
    """A machine that is off does not refuse connections, so only a time-out detects it.

    The server that answers is remembered.
    """
    async with relayed(database) as relay:
        relay.freeze()
        pool = Database(several(relay.url, database), size=2)
        await pool.open()

        assert await pool.value("select 1") == 1
        watch = Stopwatch()
        async with pool.connection(), pool.connection():
            pass
        assert watch.seconds() < 1
        await pool.close()
        relay.thaw()


async def test_connections_that_are_made_at_once_all_find_the_server_that_answers(database: str) -> None:
    """Each goes through every server, whichever the others try meanwhile."""
    parts = urlsplit(database)
    nowhere = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:1").geturl()
    for size in (2, 3, 8):
        pool = Database(several(nowhere, database), size=size)
        await pool.open()

        assert await asyncio.gather(*(pool.value("select 1") for _ in range(size))) == [1] * size
        await pool.close()


async def test_an_outage_of_all_servers_is_one_outage(database: str) -> None:
    """It has the reason of the last server."""
    nowhere = urlsplit(database)._replace(netloc="heyday@127.0.0.1:1").geturl()

    with pytest.raises(Unavailable, match=r"refused|Connect call failed"):
        await connect_once(several(nowhere, nowhere))
