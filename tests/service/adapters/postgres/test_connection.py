"""Every call has a deadline, every outage is Unavailable, and a bug is neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from actors.commands.sandbox.servers.relay import relayed
from service.adapters.postgres import connection as postgres
from service.adapters.postgres.connection import Database, connect_once
from service.ports import Unavailable
from tests.node.harness import eventually
from tests.servers import Postgres, Servers
from tests.stopwatch import Stopwatch


@pytest.fixture
def server(servers: Servers) -> Postgres:
    """The PostgreSQL of the session, which the test may stop, kill and start."""
    return servers.postgres


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """A pool of one connection, so that a broken connection fails the next statement."""
    pool = Database(database, size=1)
    await pool.open()
    yield pool
    await pool.close()


@contextmanager
def unavailable(*, within: float) -> Iterator[None]:
    """Check that the body raises Unavailable in time."""
    watch = Stopwatch()
    with pytest.raises(Unavailable) as refused:
        yield
    assert refused.value.system == "postgres"
    assert watch.seconds() < within


async def test_a_server_that_is_away_is_an_outage_and_what_comes_after_it_works(
    server: Postgres, pool: Database
) -> None:
    """Idle connections are dead after it. Only the first statement may fail."""
    assert await pool.value("select 1") == 1

    await server.kill()
    for _ in range(3):
        with unavailable(within=2):
            await pool.value("select 1")
    await server.start()

    assert await pool.value("select 2") == 2


async def test_a_server_that_dies_under_a_statement_is_an_outage(server: Postgres, pool: Database) -> None:
    """The statement may have been committed. The caller repeats it, which is harmless."""
    async with pool.connection() as connection:
        assert await connection.fetchval("select 1") == 1
    asking = asyncio.ensure_future(pool.value("select pg_sleep(60)"))
    watcher = await asyncpg.connect(server.dsn("postgres"))
    query = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'"
    await eventually(lambda: watcher.fetchval(query))

    with unavailable(within=5):
        await server.kill()
        await asking

    watcher.terminate()


async def test_opening_needs_no_server(server: Postgres, database: str) -> None:
    """A node may start before its database does."""
    await server.stop()
    pool = Database(database, size=1)

    await pool.open()

    with unavailable(within=2):
        await pool.value("select 1")
    with unavailable(within=2):
        await connect_once(database)
    await pool.close()


async def test_a_statement_that_hangs_is_given_up_and_its_connection_too(pool: Database) -> None:
    """A reused connection could deliver the old answer to the next statement."""
    with unavailable(within=1):
        await pool.value("select pg_sleep(60)", within=0.1)

    assert await pool.value("select 42") == 42
    assert pool.state.max == 1


async def test_a_server_that_stands_still_is_an_outage_within_the_deadline(database: str) -> None:
    """A stopped machine closes no connection, so only a deadline detects it."""
    async with relayed(database) as relay:
        pool = Database(relay.url, size=1)
        await pool.open()
        assert await pool.value("select 1") == 1

        relay.freeze()
        with unavailable(within=1):
            await pool.value("select 1", within=0.1)
        relay.thaw()

        assert await pool.value("select 42") == 42
        await pool.close()


async def test_a_server_that_stands_still_in_a_transaction_is_an_outage_in_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client does not wait for the rollback, which the server makes when the connection ends."""
    monkeypatch.setattr(postgres, "QUERY_TIMEOUT", 0.2)
    async with relayed(database) as relay:
        pool = Database(relay.url, size=1)
        await pool.open()
        with unavailable(within=2):
            async with pool.transaction() as connection:
                await connection.execute("create table half_way ()")
                relay.freeze()
                await connection.execute("create table all_of_it ()")
        relay.thaw()

        assert await pool.value("select to_regclass('half_way')") is None
        await pool.close()


async def test_a_pool_that_is_used_up_is_an_outage_within_the_deadline(pool: Database) -> None:
    """The deadline covers the wait for a connection."""
    async with pool.connection():
        with unavailable(within=1):
            await pool.connection(within=0.1).__aenter__()
        assert (pool.state.active, pool.state.idle) == (1, 0)

    assert await pool.value("select 1") == 1
    assert (pool.state.active, pool.state.idle) == (0, 1)


async def test_a_caller_that_is_cancelled_leaves_a_connection_that_works(pool: Database) -> None:
    """Requests are abandoned, and actors are stopped."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await pool.value("select pg_sleep(60)")

    assert await pool.value("select 42") == 42


async def test_a_caller_that_is_cancelled_does_not_wait_for_a_server_that_stands_still(database: str) -> None:
    """A node that must stop does so at once, and reports a cancellation and no outage."""
    async with relayed(database) as relay:
        pool = Database(relay.url, size=1)
        await pool.open()
        frozen = asyncio.Event()

        async def ask() -> None:
            async with pool.transaction() as connection:
                relay.freeze()
                frozen.set()
                await connection.execute("select 1")

        asking = asyncio.ensure_future(ask())
        await frozen.wait()
        watch = Stopwatch()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert watch.seconds() < 1
        relay.thaw()
        assert await pool.value("select 42") == 42
        await pool.close()


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_statement_that_an_operator_ends_is_an_outage(pool: Database, database: str, how: str) -> None:
    """Failovers and operators end statements like this, and the caller repeats them."""
    async with AsyncExitStack() as stack:
        operator = await asyncpg.connect(database)
        stack.push_async_callback(operator.close)
        asking = asyncio.ensure_future(pool.value("select pg_sleep(60)"))
        end = f"select {how}(pid) from pg_stat_activity where query = 'select pg_sleep(60)'"  # noqa: S608 - our words
        await eventually(lambda: operator.fetchval(end))

        with unavailable(within=5):
            await asking

        assert await pool.value("select 42") == 42


async def test_a_transaction_that_the_server_has_ended_is_an_outage(pool: Database, database: str) -> None:
    """A node that was suspended in a transaction gets this error when it continues."""
    operator = await asyncpg.connect(database)
    with unavailable(within=5):
        async with pool.transaction() as connection:
            await connection.execute("set local idle_in_transaction_session_timeout = '50ms'")
            pid = await connection.fetchval("select pg_backend_pid()")
            gone = "select not exists (select from pg_stat_activity where pid = $1)"
            await eventually(lambda: operator.fetchval(gone, pid))
            await connection.execute("select 1")

    assert await pool.value("select 42") == 42
    await operator.close()


async def test_a_deadlock_is_an_outage(database: str) -> None:
    """The same statement succeeds when repeated."""
    pool = Database(database, size=2)
    await pool.open()
    met = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with pool.transaction() as connection:
            await connection.execute("select pg_advisory_xact_lock($1)", first)
            await met.wait()
            await connection.execute("select pg_advisory_xact_lock($1)", second)

    outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Unavailable]
    await pool.close()


async def test_a_database_that_is_not_there_yet_is_an_outage(server: Postgres, database: str) -> None:
    """It may be created later."""
    pool = Database(server.dsn("nowhere"), size=1)
    await pool.open()

    with unavailable(within=2):
        await pool.value("select 1")

    await pool.close()


async def test_a_schema_that_is_not_there_yet_says_what_to_do(pool: Database) -> None:
    """A new version that starts before its migration waits for it."""
    with pytest.raises(Unavailable, match="heyday migrate"):
        await pool.value("select * from not_migrated_yet")


@pytest.mark.parametrize(
    ("query", "bug"), [("selec 1", asyncpg.PostgresSyntaxError), ("select 1 / 0", asyncpg.DivisionByZeroError)]
)
async def test_a_bug_is_not_an_outage(pool: Database, query: str, bug: type[Exception]) -> None:
    """A node must not wait for the end of a bug."""
    with pytest.raises(bug):
        await pool.value(query)

    assert await pool.value("select 1") == 1


async def test_misuse_is_not_an_outage(pool: Database) -> None:
    """Two statements at once on one connection are a bug of heyday."""
    async with pool.connection() as connection:
        first = asyncio.ensure_future(connection.fetchval("select pg_sleep(0.2)"))
        await asyncio.sleep(0)
        with pytest.raises(asyncpg.InterfaceError, match="another operation"):
            await connection.fetchval("select 1")
        await first


async def test_a_transaction_that_fails_leaves_nothing(pool: Database) -> None:
    """Every hop depends on it."""

    async def fail_half_way() -> None:
        async with pool.transaction() as connection:
            await connection.execute("create table left_behind ()")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()

    assert await pool.value("select to_regclass('left_behind')") is None


async def test_each_statement_is_timed_under_its_name(database: str) -> None:
    """Metrics of durations use the names in the SQL files."""
    seen: list[tuple[str, float]] = []
    pool = Database(database, size=1, observe=lambda query, seconds: seen.append((query, seconds)))
    await pool.open()

    await pool.fetch("-- sleeping\nselect pg_sleep(0.05)")

    ((name, seconds),) = seen
    assert name == "sleeping"
    assert seconds >= 0.05
    await pool.close()


async def test_a_server_without_tls_is_named_with_the_setting(database: str) -> None:
    """ "Rejected SSL upgrade" tells a person neither what asked for TLS nor what to change."""
    with pytest.raises(Unavailable) as found:
        await connect_once(f"{database}?sslmode=require")

    where = urlsplit(database).netloc.rpartition("@")[2]
    assert f"HEYDAY_DATABASE_URL: {where} does not speak TLS, which sslmode asks for; enable" in str(found.value)


async def test_a_share_leaves_the_other_connections_to_the_others(database: str) -> None:
    """API requests that wait for the database must not delay a due greeting."""
    pool = Database(database, size=3)
    await pool.open()
    share = pool.share(2)
    began = asyncio.Semaphore(0)

    async def hold() -> None:
        async with share.connection():
            began.release()
            await asyncio.Event().wait()

    crowd = [asyncio.ensure_future(hold()) for _ in range(50)]
    for _ in range(2):
        await began.acquire()

    with unavailable(within=1):
        await share.connection(within=0.1).__aenter__()
    assert await pool.value("select 1") == 1

    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert await share.value("select 1") == 1
    await pool.close()


async def test_no_session_remembers_what_a_transaction_set(pool: Database) -> None:
    """Connections are reused without a reset."""
    async with pool.transaction() as connection:
        await connection.execute("set local work_mem = '1MB'")
        await connection.execute("select pg_advisory_xact_lock(1)")
    async with pool.connection() as connection:
        await connection.execute("begin")
        await connection.execute("create table left_open ()")

    async with pool.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
        assert await connection.fetchval("select to_regclass('left_open')") is None
