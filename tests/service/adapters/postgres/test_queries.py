"""Every query fits the schema, and no frequent query reads a whole table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from loadtest.hot_queries import HOT, statements
from service.adapters.postgres.queries import load
from service.adapters.postgres.session import SETTINGS, Servers
from tests.conftest import _run
from tests.databases import create_database, drop_database
from tests.servers import Servers as RealServers
from tests.service.adapters.postgres.crowd import CROWD

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

FILES = sorted(
    file.name for file in resources.files("service.adapters.postgres").iterdir() if file.name.endswith(".sql")
)
QUERIES = [(file, name) for file in FILES for name in vars(load(file))]

SMALL = 100
"""Below this number of rows a full read is best, as for the partitions of years that have just begun."""

ZERO = "'00000000-0000-0000-0000-000000000000'"

LISTINGS = [
    ("user_lists", "filtered", f"-1, null, null, null, null, null, 100, {ZERO}"),
    ("user_lists", "filtered", "7, null, null, null, null, null, 100, {user}"),
    ("user_lists", "filtered", f"-1, 'user7@example.com', null, null, null, null, 100, {ZERO}"),
    ("user_lists", "filtered", f"-1, null, 'HR-7', null, null, null, 100, {ZERO}"),
    ("user_lists", "filtered", f"-1, null, null, 'Asia/Tokyo', null, null, 100, {ZERO}"),
    ("user_lists", "filtered", f"-1, null, null, null, 315, null, 100, {ZERO}"),
    ("user_lists", "filtered", f"-1, null, null, null, null, 315, 100, {ZERO}"),
    ("user_lists", "search", f"-1, 'ada', 'ada', 100, 10, {ZERO}"),
    ("user_lists", "first_change_since", "now()"),
    ("user_lists", "changed", "0, {user}, 100000, now() - interval '1 day', 100, 10"),
    ("history", "page", "null, null, null, null, null, null, null, null, null, 100"),
    ("history", "page", "{message}, null, null, null, null, null, null, null, null, 100"),
    ("history", "page", "null, {user}, null, null, null, null, null, null, null, 100"),
    ("history", "page", "null, null, array['failed'], null, null, null, null, null, null, 100"),
    ("history", "page", "null, null, array['sent'], 'birthday', null, null, null, null, null, 100"),
    ("history", "page", "null, null, array['sent'], null, now() - interval '1 day', now(), null, null, null, 100"),
    ("history", "page", "null, null, null, null, null, null, 'user7@example.com', null, null, 100"),
    ("history", "newest", "null, null, null, null, null, null, null, null, null, 100"),
    ("history", "newest", "{message}, null, array['failed', 'expired'], null, null, null, null, null, null, 100"),
    ("history", "count", "null, null, array['failed', 'expired'], null, null, null, null, null, null, 100"),
    ("history", "count", "null, {user}, null, null, null, null, null, null, null, 100"),
    ("history", "redrivable", "null, null, array['failed'], null, null, null, null, null, null, 1000, null"),
    (
        "history",
        "redrivable",
        "null, null, array['expired'], 'birthday', now() - interval '9 days', now(), null, array['UTC'], null, 1000,"
        " null",
    ),
    ("history", "redrivable", "null, null, array['failed'], null, null, null, null, null, {ids}, 1000, null"),
    ("history", "redrivable", "{message}, null, array['failed'], null, null, null, null, null, null, 1000, now()"),
    ("history", "reasons", "null, null, array['failed'], null, null, null, null, null, null, 100"),
    ("history", "count_redrivable", "null, null, array['failed'], null, null, null, null, null, null"),
    ("overview", "overview", "now() - interval '7 days', 100, true, now() - interval '1 day', now(), array[{year}]"),
    ("overview", "overview", "now() - interval '7 days', 100, false, null, null, '{{}}'"),
    ("messages", "claim_due_around_holds", "1000000, 1, 500, interval '48 hours', null"),
    ("holds", "active_holds", "100"),
    ("preview", "planned_by_minute", "now() + interval '48 hours', interval '48 hours'"),
    (
        "preview",
        "orphaned",
        "now() - interval '5 days', now() - interval '4 days', array[{year}], null, "
        """'{{"birthday/2026/315/UTC": true}}', null, 501""",
    ),
]
"""Queries during a hold of an occasion, and pages with filters.

PostgreSQL plans them for each call, because a null filter then costs nothing.
"""

RARE = [
    ("user_lists", "filtered", f"-1, null, null, 'Asia/Kathmandu', null, null, 100, {ZERO}"),
    ("history", "page", "null, null, array['cancelled'], null, null, null, null, null, null, 100"),
    ("history", "newest", "null, null, array['cancelled'], null, null, null, null, null, null, 20"),
]

BLOCKS_OF_A_PAGE = 300
"""These pages read 29 at most. Without their indexes, they read 4,352 and more."""


@pytest.fixture(scope="module")
def crowded(servers: RealServers) -> Iterator[str]:
    """The URL of a database with many users, their days, two years of messages, and a wave under way."""

    async def fill() -> None:
        await servers.start([servers.postgres])
        await create_database(servers, "test_crowd")
        connection = await asyncpg.connect(servers.postgres.dsn("test_crowd"))
        await connection.execute(CROWD)
        await connection.execute("vacuum analyze")
        await connection.close()

    _run(fill())
    yield servers.postgres.dsn("test_crowd")
    _run(drop_database(servers, "test_crowd"))


@pytest.fixture
async def connection(crowded: str) -> AsyncIterator[Connection]:
    """A connection set up like those of the pool. Its changes are rolled back."""
    connection = await Servers(crowded, SETTINGS).connect()
    await connection.execute("begin")
    yield connection
    await connection.close()


async def test_each_query_fits_the_schema(connection: Connection) -> None:
    """A renamed column or a wrong type is found here, and not at 09:00."""
    wrong = {}
    for file, name in QUERIES:
        await connection.execute("savepoint before")
        try:
            await connection.prepare(getattr(load(file), name))
        except asyncpg.PostgresError as error:
            wrong[f"{file}:{name}"] = str(error)
            await connection.execute("rollback to savepoint before")

    assert wrong == {}


@pytest.mark.parametrize(
    "plans",
    ["force_custom_plan", "force_generic_plan"],
)
@pytest.mark.parametrize(("file", "name", "values"), HOT, ids=[f"{file}:{name}" for file, name, _ in HOT])
async def test_no_hot_query_reads_a_whole_table(
    connection: Connection, file: str, name: str, values: str, plans: str
) -> None:
    """Such a query would be fast with a hundred users and block everything with ten million.

    PostgreSQL first plans a prepared statement for its values, and later perhaps for any values. Both plans are
    checked.
    """
    await connection.execute(f"set plan_cache_mode = {plans}")

    plan = await explain(connection, file, name, values)

    assert await whole_tables(connection, plan) == []


@pytest.mark.parametrize(("file", "name", "values"), LISTINGS, ids=[f"{f}:{n}:{v[:40]}" for f, n, v in LISTINGS])
async def test_no_listing_reads_a_whole_table(connection: Connection, file: str, name: str, values: str) -> None:
    """A page of a hundred must read about a hundred rows."""
    await connection.execute("set plan_cache_mode = force_custom_plan")

    plan = await explain(connection, file, name, values)

    assert await whole_tables(connection, plan) == []


@pytest.mark.parametrize(("file", "name", "values"), RARE, ids=[f"{f}:{n}:{v[:40]}" for f, n, v in RARE])
async def test_a_page_of_what_is_rare_does_not_read_the_rest(
    connection: Connection, file: str, name: str, values: str
) -> None:
    """Otherwise such a page costs the more, the more users there are."""
    await connection.execute("""
        update users set timezone = 'Asia/Kathmandu' where substring(email from '[0-9]+')::integer % 4000 = 0;
        update messages set status = 'cancelled', claimed_by = null, ended_at = business_now() where user_id in (
            select id from users where timezone = 'Asia/Kathmandu');
        """)
    await connection.execute("set plan_cache_mode = force_custom_plan")

    plan = await explain(connection, file, name, values, "analyze, buffers, format json")

    assert plan["Actual Rows"] >= 5
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < BLOCKS_OF_A_PAGE


async def test_reading_a_whole_table_is_noticed(connection: Connection) -> None:
    """It shows that the two tests above can fail."""
    text = await connection.fetchval("explain (format json) select count(*) from users where first_name = 'Ada'")

    assert await whole_tables(connection, json.loads(text)[0]["Plan"]) == ["users"]


async def explain(
    connection: Connection, file: str, name: str, values: str, options: str = "format json"
) -> dict[str, Any]:
    """Return the plan of a query for these values, which may name a user, a message and its year."""
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
    text = await connection.fetchval(f"explain ({options}) {execute}")
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


async def whole_tables(connection: Connection, plan: dict[str, Any]) -> list[str]:
    """Return the tables of more than a few rows that a plan reads completely."""
    tables = [node["Relation Name"] for node in nodes(plan) if node["Node Type"].endswith("Seq Scan")]
    rows = await connection.fetch(
        "select relname from pg_class where relname = any($1) and reltuples >= $2", tables, SMALL
    )
    return sorted(row["relname"] for row in rows)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all nodes below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
