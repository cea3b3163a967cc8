"""Every query fits the schema, and none that runs all the time reads a whole table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from loadtest.hot_queries import HOT, statements
from service.adapters.postgres.queries import load
from tests.adapters.postgres.crowd import CROWD
from tests.conftest import _execute, _make_template, _run
from tests.servers import Servers

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

FILES = sorted(
    file.name for file in resources.files("service.adapters.postgres").iterdir() if file.name.endswith(".sql")
)
QUERIES = [(file, name) for file in FILES for name in vars(load(file))]

SMALL = 100
"""Rows below which a table is best read from end to end: the partitions of years that have hardly begun."""

LISTINGS = [
    ("users", "list_users", "null, null, null, null, 100"),
    ("users", "list_users", "{user}, null, null, null, 100"),
    ("users", "list_users", "null, 'user7@example.com', null, null, 100"),
    ("users", "list_users", "null, null, 'Asia/Tokyo', null, 100"),
    ("users", "list_users", "null, null, null, 315, 100"),
    ("history", "page", "null, null, null, null, null, null, 100"),
    ("history", "page", "{message}, null, null, null, null, null, 100"),
    ("history", "page", "null, {user}, null, null, null, null, 100"),
    ("history", "page", "null, null, 'failed', null, null, null, 100"),
    ("history", "page", "null, null, 'sent', 'birthday', null, null, 100"),
    ("history", "page", "null, null, 'sent', null, now() - interval '1 day', now(), 100"),
    ("history", "redrivable", "'failed', null, null, null, 1000"),
    ("history", "redrivable", "'expired', 'birthday', now() - interval '9 days', now(), 1000"),
    ("history", "count_redrivable", "'failed', null, null, null"),
    ("preview", "planned_by_minute", "now() + interval '48 hours', interval '48 hours'"),
    (
        "preview",
        "astray",
        "now() - interval '5 days', now() - interval '4 days', array[{year}], null, "
        """'{{"birthday/2026/315/UTC": true}}', null, 501""",
    ),
]
"""Pages for people, by the filters they may choose; planned anew for each, since a filter that is null falls away."""


@pytest.fixture(scope="module")
def crowded(_fleet: Servers) -> Iterator[str]:
    """The URL of a database with a crowd of users, their days, two years of messages, and a wave under way."""

    async def fill() -> None:
        await _fleet.start([_fleet.postgres])
        await _make_template(_fleet)
        await _execute(_fleet, 'create database "test_crowd" template "heyday_template"')
        connection = await asyncpg.connect(_fleet.postgres.dsn("test_crowd"))
        await connection.execute(CROWD)
        await connection.execute("vacuum analyze")
        await connection.close()

    _run(fill())
    yield _fleet.postgres.dsn("test_crowd")
    _run(_execute(_fleet, 'drop database "test_crowd" with (force)'))


@pytest.fixture
async def connection(crowded: str) -> AsyncIterator[Connection]:
    """A connection set up as those of the pool are, which changes nothing for good."""
    connection = await asyncpg.connect(crowded, server_settings={"jit": "off", "timezone": "UTC"})
    await connection.execute("begin")
    await connection.execute(load("ledger.sql").open)  # a temporary table, which some queries read
    yield connection
    await connection.close()


@pytest.mark.parametrize(("file", "name"), QUERIES, ids=[f"{file}:{name}" for file, name in QUERIES])
async def test_each_query_fits_the_schema(connection: Connection, file: str, name: str) -> None:
    """A column that was renamed, or a type that no longer fits, is found here and not at nine o'clock."""
    await connection.prepare(getattr(load(file), name))


@pytest.mark.parametrize(
    "plans",
    ["force_custom_plan", "force_generic_plan"],
)
@pytest.mark.parametrize(("file", "name", "values"), HOT, ids=[f"{file}:{name}" for file, name, _ in HOT])
async def test_no_hot_query_reads_a_whole_table(
    connection: Connection, file: str, name: str, values: str, plans: str
) -> None:
    """One that did would be fast with a hundred users and stop everything with ten million.

    A prepared statement is planned for its values at first and may be planned for any values later: both must do.
    """
    await connection.execute(f"set plan_cache_mode = {plans}")

    plan = await explain(connection, file, name, values)

    assert await whole_tables(connection, plan) == []


@pytest.mark.parametrize(("file", "name", "values"), LISTINGS, ids=[f"{f}:{n}:{v[:40]}" for f, n, v in LISTINGS])
async def test_no_listing_reads_a_whole_table(connection: Connection, file: str, name: str, values: str) -> None:
    """A page of a hundred must cost a hundred rows, whatever else is stored."""
    await connection.execute("set plan_cache_mode = force_custom_plan")

    plan = await explain(connection, file, name, values)

    assert await whole_tables(connection, plan) == []


async def test_reading_a_whole_table_is_noticed(connection: Connection) -> None:
    """The two tests above look for something that they would find."""
    text = await connection.fetchval("explain (format json) select count(*) from users where first_name = 'Ada'")

    assert await whole_tables(connection, json.loads(text)[0]["Plan"]) == ["users"]


async def explain(connection: Connection, file: str, name: str, values: str) -> dict[str, Any]:
    """The plan of a query for the given values, which may name a user, a message and its year."""
    known = await connection.fetchrow(
        """
        select (select quote_literal(id) || '::uuid' from users order by id offset 5000 limit 1) as user,
            quote_literal(id) || '::uuid' as message, local_year || '::smallint' as year,
            (select quote_literal(id) || '::uuid' from messages where status = 'sending' limit 1) as sending
        from messages where status = 'queued' limit 1
        """
    )
    assert known is not None
    ids = f"array[{known['message']}, gen_random_uuid()]"
    rows: Any = {**known, "ids": ids}
    prepare, execute = statements(file, name, values, rows)
    await connection.execute(prepare)
    text = await connection.fetchval(f"explain (format json) {execute}")
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


async def whole_tables(connection: Connection, plan: dict[str, Any]) -> list[str]:
    """The tables of more than a few rows that a plan reads from end to end."""
    tables = [node["Relation Name"] for node in nodes(plan) if node["Node Type"].endswith("Seq Scan")]
    rows = await connection.fetch(
        "select relname from pg_class where relname = any($1) and reltuples >= $2", tables, SMALL
    )
    return sorted(row["relname"] for row in rows)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
