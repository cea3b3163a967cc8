"""Tests the constraints of the schema, and its migrations."""

from __future__ import annotations

import asyncio
import re
import uuid
from urllib.parse import urlsplit

import asyncpg
import pytest

from service.adapters.postgres import migrations
from service.adapters.postgres.connection import Database
from service.adapters.postgres.migrations import (
    Migration,
    MigrationChanged,
    MigrationFailed,
    available,
    migrate,
    missing,
)
from service.domain.messages import MOVES, Outcome, Status
from service.ports import Unavailable
from tests.service.adapters.postgres.conftest import Store


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
        "attempts_before_redrive = 1",
        "attempt = 0, attempts_before_redrive = -1",
        "send_at = null",
    ],
)
async def test_a_message_cannot_be_in_a_state_that_makes_no_sense(store: Store, change: str) -> None:
    """The constraints enforce the state machine against every client of the database."""
    await store.due(1)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await store.fetch(f"update messages set {change}")  # noqa: S608 - words of this test


async def test_the_states_of_the_schema_are_those_of_the_domain(store: Store) -> None:
    """A difference would show first in production."""

    async def values(constraint: str) -> set[str]:
        query = "select pg_get_constraintdef(oid) from pg_constraint where conname = $1 and conparentid = 0 limit 1"
        return set(re.findall(r"'([a-z_]+)'", await store.database.value(query, constraint)))

    assert await values("messages_status") == set(Status) == set(MOVES)
    assert await values("attempts_outcome_check") == set(Outcome)


async def test_a_user_has_one_message_an_occasion_and_year(store: Store) -> None:
    """This index prevents a second greeting even if everything else fails."""
    await store.due(1)

    with pytest.raises(asyncpg.UniqueViolationError):
        await store.fetch(
            "insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)"
            " select user_id, occasion, local_year, 'Asia/Tokyo', send_at, due_at, tzdata from messages"
        )


async def far_year(store: Store) -> int:
    """The latest year for which partitions can be made now."""
    return int(await store.database.value("select extract(year from business_now())::integer + 5"))


@pytest.mark.parametrize("base", ["messages", "attempts"])
async def test_a_partition_that_was_detached_and_kept_is_not_taken_for_attached(store: Store, base: str) -> None:
    """Planning waits and reports the reason, instead of failing at each row of that year."""
    year = await far_year(store)
    await store.fetch("select ensure_year($1)", year)
    await store.fetch(f"alter table {base} detach partition {base}_{year}")

    with pytest.raises(
        Unavailable, match=f"the table {base}_{year} is detached: attach it to {base}, or give it another name"
    ):
        await store.fetch("select ensure_year($1)", year)

    await store.fetch(f"alter table {base}_{year} rename to kept")
    await store.fetch("select ensure_year($1)", year)
    assert await store.database.value("select to_regclass($1) is not null", f"{base}_{year}")


async def test_the_partitions_of_a_year_are_made_once_by_however_many(store: Store) -> None:
    """Every node may announce, and planning of a new year must not fail."""
    year = await far_year(store)
    await asyncio.gather(*(store.fetch("select ensure_year($1)", year) for _ in range(10)))

    rows = await store.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhrelid::regclass::text like '%_' || $1",
        str(year),
    )
    assert {row["name"] for row in rows} == {f"messages_{year}", f"attempts_{year}"}
    definition = "select count(*) from pg_indexes where tablename = $1"
    assert await store.database.value(definition, f"messages_{year}") == await store.database.value(
        "select count(*) from pg_index where indrelid = 'messages'::regclass"
    )


async def test_five_nodes_that_migrate_at_once_apply_each_file_once(database: str) -> None:
    """`heyday migrate` may be part of every node's deployment."""
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
    """Each file is a transaction, and only a complete file is recorded."""
    broken = Migration(9999, "9999_broken.sql", "create table left_behind (); select 1 / 0")
    monkeypatch.setattr(migrations, "available", lambda: [*available(), broken])

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database)

    pool = Database(database, size=1)
    await pool.open()
    assert await pool.value("select to_regclass('left_behind')") is None
    await pool.close()


@pytest.mark.parametrize("given", ["", "; grant usage on schema public to public"], ids=["nothing", "usage"])
async def test_a_role_that_may_not_create_is_told_the_grant_that_it_lacks(
    database: str, store: Store, given: str
) -> None:
    """Since PostgreSQL 15 only the owner of a database may create in the schema public, which every role may use."""
    role = f"migrator_{uuid.uuid4().hex}"
    await store.fetch(f"create role {role} login password 'for-this-test'")
    connection = await asyncpg.connect(database)
    await connection.execute(f"drop schema public cascade; create schema public{given}")
    own = urlsplit(database)
    dsn = own._replace(netloc=f"{role}:for-this-test@{own.netloc.rpartition('@')[2]}").geturl()
    try:
        grant = f'GRANT USAGE, CREATE ON SCHEMA "public" TO "{role}"'
        with pytest.raises(MigrationFailed, match=re.escape(f"run as its owner: {grant};")):
            await migrate(dsn)

        await connection.execute(grant)
        assert await migrate(dsn) == [migration.name for migration in available()]
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.close()


async def test_a_role_that_may_change_nothing_in_the_schema_makes_the_partitions_of_a_year(
    database: str, store: Store
) -> None:
    """Otherwise a node with few privileges would stop planning in December."""
    role, year = f"node_{uuid.uuid4().hex}", await far_year(store)
    await store.fetch(f"create role {role}")
    await store.fetch("revoke create on schema public from public")  # as it is since PostgreSQL 15
    try:
        await store.fetch(f"grant select, insert on messages to {role}")
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(f"set role {role}; set search_path to pg_temp")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("create table public.mine ()")
            await connection.execute(f"select public.ensure_year({year})")
            assert await connection.fetchval("select count(*) from public.messages where local_year = $1", year) == 0
        finally:
            await connection.close()
        assert await store.database.value("select to_regclass($1) is not null", f"messages_{year}")
        owner = "select pg_get_userbyid(relowner) from pg_class where oid = $1::regclass"
        assert await store.database.value(owner, f"messages_{year}") == await store.database.value(owner, "messages")
    finally:
        await store.fetch(f"drop owned by {role}")
        await store.fetch(f"drop role {role}")
