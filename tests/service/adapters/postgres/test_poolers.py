"""Behind PgBouncer, in session and in transaction mode, every statement works and the time-outs hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.adapters.postgres.connection import Database, connect_once, is_pooled
from service.adapters.postgres.ledger import Difference, opened
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import available, migrate, missing
from service.ports import Unavailable
from tests.pgbouncer import PgBouncer, pooled
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

MODES = ("session", "transaction")


@pytest.fixture(params=MODES)
async def pooler(request: pytest.FixtureRequest, database: str) -> AsyncIterator[PgBouncer]:
    async with pooled(database, request.param) as running:
        yield running


@pytest.fixture
async def pool(pooler: PgBouncer) -> AsyncIterator[Database]:
    pool = Database(pooler.dsn(), size=4)
    await pool.open()
    yield pool
    await pool.close()


async def test_a_pooler_is_recognised_and_a_server_is_not_taken_for_one(database: str, pooler: PgBouncer) -> None:
    """No configuration is needed."""
    for dsn, expected in ((database, False), (pooler.dsn(), True)):
        connection = await connect_once(dsn)
        assert is_pooled(connection) is expected
        connection.terminate()


async def test_the_settings_of_a_session_hold_in_each_transaction(pool: Database) -> None:
    """PgBouncer refuses or ignores start-up settings, and a statement without a time-out would keep its locks."""
    names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit", "timezone"]

    rows = await pool.fetch("select name, setting from pg_settings where lower(name) = any($1)", names)

    assert {row["name"].lower(): row["setting"] for row in rows} == {
        "statement_timeout": "30000",
        "lock_timeout": "10000",
        "idle_in_transaction_session_timeout": "30000",
        "jit": "off",
        "timezone": "UTC",
    }


async def test_the_settings_are_the_same_without_a_pooler(database: str) -> None:
    """They are set in the transaction, not in the start-up message."""
    pool = Database(database, size=1)
    await pool.open()
    assert await pool.value("select current_setting('statement_timeout')") == "30s"
    assert await pool.value("select current_setting('lock_timeout')") == "10s"
    assert await pool.value("select current_setting('jit')") == "off"
    await pool.close()


async def test_clients_that_share_few_sessions_do_not_meet_each_others_statements(database: str) -> None:
    """The server keeps a prepared statement in a session, and the next transaction may use another session."""
    async with pooled(database, "transaction", size=2) as pooler:
        pools = [Database(pooler.dsn(), size=4) for _ in range(3)]
        for one in pools:
            await one.open()

        for numbers in (range(at, at + 30) for at in range(0, 300, 30)):  # no query waits for hundreds of others
            answers = await asyncio.gather(
                *(one.value(f"select $1::integer + {n % 7}", n) for n in numbers for one in pools)
            )
            assert answers == [n + n % 7 for n in numbers for _ in pools]
        for one in pools:
            await one.close()


async def test_a_lock_that_is_not_given_is_an_outage_behind_a_pooler_too(pool: Database, database: str) -> None:
    """The server enforces the lock time-out."""
    other = await asyncpg.connect(database)
    await other.execute("begin; lock table users in access exclusive mode")

    async def wait_for_the_lock() -> None:
        async with pool.transaction() as connection:
            await connection.execute("set local lock_timeout = '50ms'")
            await connection.execute("select from users")

    with pytest.raises(Unavailable, match="lock timeout"):
        await wait_for_the_lock()

    await other.close()


async def test_messages_are_claimed_sent_and_recorded_behind_a_pooler(pool: Database, store: Store) -> None:
    """These statements use arrays, intervals and returned rows."""
    messages = PostgresMessages(pool)
    ids = await store.due(50)

    due = await messages.claim_due(fence=1, incarnation=1, limit=100, late_limit=LATE_LIMIT)
    claimed = await messages.claim_for_sending(due.queued, incarnation=1)

    assert list(due.queued) == ids
    assert len(claimed) == 50
    assert await messages.requeue_lost(queued_for=timedelta(0)) == 0


async def test_the_schema_is_migrated_through_a_pooler_by_several_at_once(database: str, pooler: PgBouncer) -> None:
    """A session lock would stay with the pooler's session for ever."""
    connection = await asyncpg.connect(database)
    await connection.execute("drop schema public cascade; create schema public")

    applied = await asyncio.gather(*(migrate(pooler.dsn()) for _ in range(3)))

    assert sorted(name for names in applied for name in names) == [migration.name for migration in available()]
    assert await missing(connection) == []
    # Another database of the server may have some.
    held = """
        select count(*) from pg_locks
        where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    """
    assert await connection.fetchval(held) == 0
    await connection.close()


async def test_a_ledger_is_compared_behind_a_pooler(pooler: PgBouncer, store: Store) -> None:
    """Each statement may have another session, which has no temporary table of the one before."""
    (unsent,) = await store.due(1)
    async with opened(pooler.dsn()) as ledger:
        await ledger.add([(unsent, None), (unsent, None)])

        assert (await ledger.bounds()).lines == 2
        assert [one.id async for one in ledger.differing(Difference.NOT_SENT_HERE, None, None)] == [unsent]


async def test_differences_of_several_pages_are_listed_without_an_open_transaction(
    pooler: PgBouncer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may read them slowly, and an open transaction keeps the server from cleaning up."""
    monkeypatch.setattr("service.adapters.postgres.ledger.PAGE_SIZE", 3)
    ids = sorted(await store.due(7))
    strange = sorted(uuid4() for _ in ids)
    async with opened(pooler.dsn()) as ledger:
        await ledger.add([(key, None) for key in [*ids, *strange] * 2])

        async def listed(difference: Difference) -> list[UUID]:
            found: list[UUID] = []
            async for one in ledger.differing(difference, None, None):
                if not found:
                    assert await open_transactions(store) == []
                found.append(one.id)
            return found

        assert await listed(Difference.TWICE) == sorted([*ids, *strange])
        assert await listed(Difference.NOT_SENT_HERE) == ids
        assert await listed(Difference.NOT_OURS) == strange
    async with opened(pooler.dsn()) as ledger:
        await store.fetch("update messages set status = 'sent', attempt = 1, ended_at = business_now()")
        assert await listed(Difference.NOT_ACCEPTED_THERE) == ids


async def open_transactions(store: Store) -> list[asyncpg.Record]:
    return await store.fetch(
        "select pid, query from pg_stat_activity where datname = current_database() and state like 'idle in trans%'"
    )


async def test_a_pooler_that_is_killed_is_an_outage_and_what_comes_after_it_works(
    pool: Database, pooler: PgBouncer
) -> None:
    """The pooler is another program that may fail."""
    assert await pool.value("select 1") == 1
    await pooler.kill()
    with pytest.raises(Unavailable):
        await pool.value("select 1")
    await pooler.start()

    assert await pool.value("select 2") == 2
