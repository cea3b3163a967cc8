"""Migrations run while nodes of the previous version work, so they may add but must not remove anything.

These tests check the shape of the schema and existing rows. They do not run code of an earlier version.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import pytest

from service.adapters.postgres import migrations
from service.adapters.postgres.indexes import is_built_beside_writers
from service.adapters.postgres.migrations import Migration, available, migrate
from service.ports import Unavailable
from tests.node.harness import eventually
from tests.service.adapters.postgres.test_moves import ONE_OF_EACH

LATER = available()[1:]
"""Every file from the second on; before the first there was no version."""

TAKES_AWAY = {
    r"\bdrop\s+(table|column|function|index|view|type|schema)\b": "what the earlier version uses would be gone",
    r"\brename\b": "the earlier version knows it by its name",
    r"\balter\s+column\s+\w+\s+(set\s+data\s+)?type\b": "the earlier version sends what it was",
    r"\bset\s+not\s+null\b": "the earlier version may leave it out",
    r"\badd\s+(constraint\s+\w+\s+)?(check|unique|foreign)\b": "the earlier version may write what it refuses",
    r"\badd\s+column\s+(?![^,;]*\bdefault\b)[^,;]*\bnot\s+null\b": "the earlier version leaves it out",
    r"\bcreate\s+(unique\s+)?index\s+(?!concurrently\b)[^;]*\bon\s+(only\s+)?"
    r"(users|messages|attempts|occasion_dates)\b": "writers would wait while it is built: create it concurrently",
    r"\bcreate\s+unique\s+index\b[^;]*\bon\s+(users|messages|attempts|occasion_dates)\s+"
    r"\((?!external_id\))": "as a unique constraint on what the earlier version writes",
    # `truncate on` is a right, or a trigger.
    r"\b(lock\s+table|truncate\b(?!\s+on\b)|vacuum\s+full|cluster\s+\w+\s+using)\b": "the nodes at work would "
    "wait, or lose rows",
}
"""Refused statements of a migration, with reasons."""


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql).lower()


def taken_away(sql: str) -> Iterator[str]:
    """Return the parts of a migration that would break an earlier version, with reasons."""
    for pattern, why in TAKES_AWAY.items():
        for found in re.finditer(pattern, without_comments(sql)):
            yield f"{found[0]!r}: {why}"


@pytest.mark.parametrize("migration", LATER, ids=lambda migration: migration.name)
def test_a_migration_takes_nothing_away_from_the_version_before_it(migration: Migration) -> None:
    """Expand, deploy, and contract in a later version, when no node uses the old form."""
    assert list(taken_away(migration.sql)) == []


@pytest.mark.parametrize(
    "sql",
    [
        "alter table users drop column email_key;",
        "alter table messages rename column status_reason to why;",
        "alter table messages alter column attempt type integer;",
        "alter table users alter column location_city set not null;",
        "alter table nodes add column tzdata text not null;",
        "alter table messages add constraint short check (length(status_reason) < 9);",
        "create unique index one_name on users (last_name);",
        "create index messages_timezone on messages (timezone);",
        "create index if not exists users_city on only users (location_city);",
        "truncate attempts;",
    ],
)
def test_what_would_take_something_away_is_noticed(sql: str) -> None:
    """It shows that the test above can fail."""
    assert list(taken_away(sql)) != []


@pytest.mark.parametrize(
    "sql",
    [
        "alter table planning add column tzdata text not null default '';",
        "create table made (id bigint not null unique, name text not null, constraint named check (name <> ''));",
        "create index nodes_living_2 on nodes (incarnation);",
        "create index concurrently messages_timezone on messages (timezone);",
        "-- rename it some day\nselect 1;",
    ],
)
def test_what_only_adds_is_let_pass(sql: str) -> None:
    """A new table may have any constraint."""
    assert list(taken_away(sql)) == []


NEW_INDEX = """
create index concurrently messages_timezone on messages (timezone) where status = 'queued';
create index concurrently users_city on users (location_city);
"""


BUILDS_THAT_WAIT = "from pg_stat_activity where query like 'create index concurrently%' and wait_event_type = 'Lock'"


async def test_writers_go_on_while_a_migration_builds_indexes(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partitioned table cannot be indexed concurrently as a whole.

    The build waits for an older transaction, and no writer waits for the build.
    """
    migration = Migration(9999, "9999_indexes.sql", NEW_INDEX)
    monkeypatch.setattr(migrations, "available", lambda: [*available(), migration])
    older, writer = await asyncpg.connect(database), await asyncpg.connect(database)
    await writer.execute(ONE_OF_EACH)
    await older.execute("begin isolation level repeatable read; select from users limit 1")
    building = asyncio.ensure_future(migrate(database))
    await eventually(lambda: writer.fetchval(f"select count(*) {BUILDS_THAT_WAIT}"))

    await writer.execute("set lock_timeout = '1s'")
    await writer.execute("update messages set status_reason = 'written meanwhile'")
    await writer.execute("update users set location_city = 'Utrecht'")
    assert not building.done()
    await older.execute("commit")

    assert await building == ["9999_indexes.sql"]
    indexes = await writer.fetch(
        "select indexrelid::regclass::text as name from pg_index"
        " where indexrelid::regclass::text ~ '^(messages_timezone|users_city)' and indisvalid"
    )
    years = await writer.fetchval("select count(*) from pg_inherits where inhparent = 'messages'::regclass")
    assert len(indexes) == 1 + years + 1
    await older.close()
    await writer.close()


async def test_a_build_of_an_index_that_was_interrupted_is_made_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves an invalid index, which slows writers down and helps no reader."""
    migration = Migration(9999, "9999_indexes.sql", NEW_INDEX)
    monkeypatch.setattr(migrations, "available", lambda: [*available(), migration])
    older, other = await asyncpg.connect(database), await asyncpg.connect(database)
    await older.execute("begin isolation level repeatable read; select from users limit 1")
    building = asyncio.ensure_future(migrate(database))
    await eventually(lambda: other.fetchval(f"select count(*) {BUILDS_THAT_WAIT}"))
    await other.execute(f"select pg_terminate_backend(pid) {BUILDS_THAT_WAIT}")
    with pytest.raises(Unavailable):
        await building
    invalid = "select count(*) from pg_index where not indisvalid"
    assert await other.fetchval(invalid) > 0
    await older.execute("commit")

    assert await migrate(database) == ["9999_indexes.sql"]

    assert await other.fetchval(invalid) == 0
    await older.close()
    await other.close()


def test_a_file_that_builds_indexes_concurrently_holds_nothing_else() -> None:
    """It runs outside a transaction, so other statements could be left incomplete."""
    with pytest.raises(ValueError, match="holds nothing else"):
        is_built_beside_writers(NEW_INDEX + "alter table users add column nickname text;")
    assert all(is_built_beside_writers(one.sql) in (True, False) for one in available())


SHAPE = """
select table_name || '.' || column_name as name, data_type, is_nullable, column_default is not null as has_default
from information_schema.columns
where table_schema = 'public' and table_name not like 'messages\\_%' and table_name not like 'attempts\\_%'
"""


@pytest.mark.parametrize("migration", LATER, ids=lambda migration: migration.name)
async def test_every_column_stays_what_it_was_and_a_new_one_may_be_left_out(
    database: str, monkeypatch: pytest.MonkeyPatch, migration: Migration
) -> None:
    """Checked in PostgreSQL's catalog, on rows in every state. Rows stay as they are, so that working nodes find
    their claims."""
    before_it = [one for one in available() if one.number < migration.number]
    connection = await asyncpg.connect(database)
    await connection.execute("drop schema public cascade; create schema public")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "available", lambda: before_it)
        await migrate(database)
        await connection.execute(ONE_OF_EACH)
        shape = {row["name"]: tuple(row)[1:] for row in await connection.fetch(SHAPE)}
        rows = [dict(row) for row in await connection.fetch("select * from messages order by id")]

        patched.setattr(migrations, "available", lambda: [*before_it, migration])
        assert await migrate(database) == [migration.name]

    after = {row["name"]: tuple(row)[1:] for row in await connection.fetch(SHAPE)}
    assert {name: after.get(name) for name in shape} == shape
    tables = {name.split(".")[0] for name in shape}
    new = {name: of for name, of in after.items() if name not in shape and name.split(".")[0] in tables}
    assert [name for name, (_type, nullable, has_default) in new.items() if nullable == "NO" and not has_default] == []
    found = [dict(row) for row in await connection.fetch("select * from messages order by id")]
    assert [{column: row[column] for column in rows[0]} for row in found] == rows
    await connection.close()
