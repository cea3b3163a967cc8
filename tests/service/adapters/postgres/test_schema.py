"""What the schema itself refuses, and how it comes to be."""

from __future__ import annotations

import asyncio
import re
import uuid

import asyncpg
import pytest

from service.adapters.postgres import migrations
from service.adapters.postgres.connection import Database
from service.adapters.postgres.migrations import Migration, MigrationChanged, available, migrate, missing
from service.domain.messages import MOVES, Outcome, Status
from tests.adapters.postgres.conftest import Store


@pytest.mark.parametrize(
    "change",
    [
        "status = 'lost'",
        "status = 'sending', attempt = 1",
        "claimed_by = 1",
        "status = 'sent', attempt = 1",
        "status = 'sent', ended_at = now()",
        "ended_at = now()",
        "status = 'queued'",
        "status = 'queued', queued_at = now()",
        "status = 'failed', ended_at = now()",
        "due_at = send_at - interval '1 second'",
        "attempt_base = 1",
        "attempt = 0, attempt_base = -1",
        "send_at = null",
    ],
)
async def test_a_message_cannot_be_in_a_state_that_makes_no_sense(store: Store, change: str) -> None:
    """The state machine is drawn once and enforced twice; this is the time that nobody can get around."""
    await store.due(1)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await store.fetch(f"update messages set {change}")  # noqa: S608 - words of this test


async def test_the_states_of_the_schema_are_those_of_the_domain(store: Store) -> None:
    """A state that only one of the two knows would surface in production."""

    async def values(constraint: str) -> set[str]:
        query = "select pg_get_constraintdef(oid) from pg_constraint where conname = $1 and conparentid = 0 limit 1"
        return set(re.findall(r"'([a-z]+)'", await store.database.value(query, constraint)))

    assert await values("messages_status") == set(Status) == set(MOVES)
    assert await values("attempts_outcome_check") == set(Outcome)


async def test_a_user_has_one_message_an_occasion_and_year(store: Store) -> None:
    """Whatever else goes wrong, this index stands between a user and a second greeting."""
    await store.due(1)

    with pytest.raises(asyncpg.UniqueViolationError):
        await store.fetch(
            "insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)"
            " select user_id, occasion, local_year, 'Asia/Tokyo', send_at, due_at, tzdata from messages"
        )


async def test_the_partitions_of_a_year_are_made_once_by_however_many(store: Store) -> None:
    """Every node announces; planning into a year that nobody has seen yet must not fail on any."""
    await asyncio.gather(*(store.fetch("select ensure_year(2999)") for _ in range(10)))

    rows = await store.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhrelid::regclass::text like '%_2999'"
    )
    assert {row["name"] for row in rows} == {"messages_2999", "attempts_2999"}
    definition = "select count(*) from pg_indexes where tablename = 'messages_2999'"
    assert await store.database.value(definition) == await store.database.value(
        "select count(*) from pg_index where indrelid = 'messages'::regclass"
    )


async def test_five_nodes_that_migrate_at_once_apply_each_file_once(database: str) -> None:
    """`heyday migrate` is part of every node's deployment."""
    connection = await asyncpg.connect(database)
    await connection.execute("drop schema public cascade; create schema public")
    assert await missing(connection) == [migration.name for migration in available()]

    applied = await asyncio.gather(*(migrate(database) for _ in range(5)))

    assert sorted(name for names in applied for name in names) == [migration.name for migration in available()]
    assert await missing(connection) == []
    assert await migrate(database) == []
    await connection.close()


async def test_a_migration_that_has_changed_since_it_was_applied_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two databases of one version must not differ."""
    first, *rest = available()
    monkeypatch.setattr(migrations, "available", lambda: [Migration(first.number, first.name, first.sql + " "), *rest])

    with pytest.raises(MigrationChanged, match=first.name):
        await migrate(database)


async def test_a_migration_that_fails_leaves_nothing_behind(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a transaction: what is not written down as applied was not applied."""
    broken = Migration(9999, "9999_broken.sql", "create table left_behind (); select 1 / 0")
    monkeypatch.setattr(migrations, "available", lambda: [*available(), broken])

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database)

    pool = Database(database, size=1)
    await pool.open()
    assert await pool.value("select to_regclass('left_behind')") is None
    await pool.close()


async def test_a_role_that_may_change_nothing_in_the_schema_makes_the_partitions_of_a_year(
    database: str, store: Store
) -> None:
    """A node with the least rights would otherwise stop planning in December, when the next year comes in sight."""
    role = f"node_{uuid.uuid4().hex}"
    await store.fetch(f"create role {role}")
    try:
        await store.fetch(f"grant select, insert on messages to {role}")
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(f"set role {role}; set search_path to pg_temp")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("create table public.mine ()")
            await connection.execute("select public.ensure_year(2998)")
            assert await connection.fetchval("select count(*) from public.messages where local_year = 2998") == 0
        finally:
            await connection.close()
        assert await store.database.value("select to_regclass('messages_2998') is not null")
        owner = "select pg_get_userbyid(relowner) from pg_class where oid = $1::regclass"
        assert await store.database.value(owner, "messages_2998") == await store.database.value(owner, "messages")
    finally:
        await store.fetch(f"drop owned by {role}")
        await store.fetch(f"drop role {role}")
