"""A migration is applied while nodes of the version before it are at work: it may add, and must take nothing away.

What this holds is the shape of the schema, and the rows that were there; it runs no code of an earlier version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import asyncpg
import pytest

from service.adapters.postgres import migrations
from service.adapters.postgres.migrations import Migration, available, migrate
from tests.adapters.postgres.test_moves import ONE_OF_EACH

LATER = available()[1:]
"""Every file from the second on: before the first there was no version."""

TAKES_AWAY = {
    r"\bdrop\s+(table|column|function|index|view|type|schema)\b": "what the earlier version uses would be gone",
    r"\brename\b": "the earlier version knows it by its name",
    r"\balter\s+column\s+\w+\s+(set\s+data\s+)?type\b": "the earlier version sends what it was",
    r"\bset\s+not\s+null\b": "the earlier version may leave it out",
    r"\badd\s+(constraint\s+\w+\s+)?(check|unique|foreign)\b": "the earlier version may write what it refuses",
    r"\badd\s+column\s+(?![^,;]*\bdefault\b)[^,;]*\bnot\s+null\b": "the earlier version leaves it out",
    r"\bcreate\s+unique\s+index\b[^;]*\bon\s+(users|messages|attempts|occasion_dates)\b": "as a unique constraint",
    r"\b(lock\s+table|truncate|vacuum\s+full|cluster\s+\w+\s+using)\b": "the nodes at work would wait, or lose rows",
}
"""What is refused in a migration, and why."""


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql).lower()


def taken_away(sql: str) -> Iterator[str]:
    """What of a migration an earlier version could not live with, and why."""
    for pattern, why in TAKES_AWAY.items():
        for found in re.finditer(pattern, without_comments(sql)):
            yield f"{found[0]!r}: {why}"


@pytest.mark.parametrize("migration", LATER, ids=lambda migration: migration.name)
def test_a_migration_takes_nothing_away_from_the_version_before_it(migration: Migration) -> None:
    """Expand, deploy, and contract a version later, when nobody uses it any more."""
    assert list(taken_away(migration.sql)) == []


@pytest.mark.parametrize(
    "sql",
    [
        "alter table users drop column email_key;",
        "alter table messages rename column reason to why;",
        "alter table messages alter column attempt type integer;",
        "alter table users alter column location_city set not null;",
        "alter table nodes add column tzdata text not null;",
        "alter table messages add constraint short check (length(reason) < 9);",
        "create unique index one_name on users (last_name);",
        "truncate attempts;",
    ],
)
def test_what_would_take_something_away_is_noticed(sql: str) -> None:
    """A rule that lets everything pass would look the same."""
    assert list(taken_away(sql)) != []


@pytest.mark.parametrize(
    "sql",
    [
        "alter table planning add column tzdata text not null default '';",
        "create table made (id bigint not null unique, name text not null, constraint named check (name <> ''));",
        "create index nodes_living_2 on nodes (incarnation);",
        "-- rename it some day\nselect 1;",
    ],
)
def test_what_only_adds_is_let_pass(sql: str) -> None:
    """A new table may refuse what it likes."""
    assert list(taken_away(sql)) == []


SHAPE = """
select table_name || '.' || column_name as name, data_type, is_nullable, column_default is not null as has_default
from information_schema.columns
where table_schema = 'public' and table_name not like 'messages\\_%' and table_name not like 'attempts\\_%'
"""


@pytest.mark.parametrize("migration", LATER, ids=lambda migration: migration.name)
async def test_every_column_stays_what_it_was_and_a_new_one_may_be_left_out(
    database: str, monkeypatch: pytest.MonkeyPatch, migration: Migration
) -> None:
    """By what PostgreSQL itself says, on rows in every state; and rows are left as they are, so that nodes at work find
    what they have claimed."""
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
