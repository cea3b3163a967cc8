"""Neither grown tables nor a large backlog are read completely, also by plans from before."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import asyncpg
import pytest

from loadtest.hot_queries import BIRTHDAY, HOT, INSTANTS, Known, statements
from service.adapters.postgres.session import SETTINGS, Servers, Session
from tests.service.adapters.postgres.crowd import NODES, crowd

Query: TypeAlias = tuple[str, str, str]
"""File, name, and values."""

SIZES = [(0, 20_000), pytest.param(200, 20_000, marks=pytest.mark.nightly)]
"""Users when the plans are made, and when they are used."""

TIMES, BLOCKS = 3, 50
"""A plan from before reads at most this many times the blocks of a new one, and this many blocks beyond."""

BUNDLES = [
    ("messages", "claim_for_sending", "{queued}, 1, 7, null, null, {queued}"),
    (
        "messages",
        "record",
        "{owners}, {claimed}, {years}, {ones}, {sents}, {ones}, {accepted}, {ones}, {ones}, {ones}, {nulls}, {trues}, "
        "{nulls}, {primary}, {trues}, {tokens}",
    ),
    ("messages", "requeue_claims", "{queued}, 1"),
    ("messages", "claim_due_around_holds", "1000000, 1, 50, interval '48 hours', null"),
    ("messages", "mark_dead_lettered", "{failed}"),
    ("messages", "redrive", "{failed}"),
    (
        "planning",
        "replan_range",
        f"'birthday', {{year}}, {{month_day}}, null, null, {INSTANTS}, 'test', now(), now(), interval '48 hours'",
    ),
    (
        "users",
        "create_users_under_keys",
        "array['A'], array['B'], array['a@b.c'], array['a@b.c'], array['UTC'], array[null], array[null], array[1], "
        f"array[1], array['birthday'], array[date '2000-03-15'], array[1], {BIRTHDAY}, 'test', "
        "array[null::uuid], null, array[null], array[null], array[true], array['k'::bytea], array['r'::bytea], "
        "'-infinity', 60",
    ),
    ("users", "get_users", "{users}"),
    ("users", "existing_ids", "{users}"),
    ("users", "taken_keys", "{emails}"),
    ("users", "match_users", "{emails}, {emails}"),
    ("idempotency", "reserve", "{keys}, {keys}, 60"),
    ("idempotency", "keep", "{keys}, {times}, {ones}, {objects}, {keys}"),
    ("user_lists", "users", "{users}"),
]
"""Queries for many rows at once: file, name, and values, which name rows of `KNOWN`."""

QUERIES = [*HOT, *BUNDLES]

KNOWN = """
    with some_users as (select id, email_key from users where deleted_at is null order by email_key limit 50),
    queued as (select id from messages where status = 'queued' order by id limit 50),
    claimed as (select * from messages where status = 'sending' order by id limit 50),
    failed as (select id from messages where status = 'failed' order by id limit 50)
    select
        (select quote_literal(id) || '::uuid' from some_users limit 1) as user,
        (select quote_literal(id) || '::uuid' from queued limit 1) as message,
        (select quote_literal(id) || '::uuid' from claimed limit 1) as sending,
        extract(year from now())::text || '::smallint' as year,
        (select mode() within group (order by month_day) from occasion_dates where occasion = 'birthday') as month_day,
        (select quote_literal(array_agg(id)) || '::uuid[]' from some_users) as users,
        (select quote_literal(array_agg(email_key)) || '::text[]' from some_users) as emails,
        (select quote_literal(array_agg(id)) || '::uuid[]' from queued) as queued,
        (select quote_literal(array_agg(id)) || '::uuid[]' from queued) as ids,
        (select quote_literal(array_agg(id)) || '::uuid[]' from failed) as failed,
        (select quote_literal(array_agg(id)) || '::uuid[]' from claimed) as claimed,
        (select quote_literal(array_agg(claimed_by)) || '::bigint[]' from claimed) as owners,
        (select quote_literal(array_agg(local_year)) || '::smallint[]' from claimed) as years,
        (select quote_literal(array_agg(1)) || '::integer[]' from claimed) as ones,
        (select quote_literal(array_agg('sent'::text)) || '::text[]' from claimed) as sents,
        (select quote_literal(array_agg('accepted'::text)) || '::text[]' from claimed) as accepted,
        (select quote_literal(array_agg('primary'::text)) || '::text[]' from claimed) as primary,
        (select quote_literal(array_agg(null::text)) || '::text[]' from claimed) as nulls,
        (select quote_literal(array_agg(claim_token)) || '::bigint[]' from claimed) as tokens,
        (select quote_literal(array_agg(true)) || '::boolean[]' from claimed) as trues,
        (select quote_literal(array_agg(sha256(n::text::bytea))) || '::bytea[]' from generate_series(1, 50) n) as keys,
        quote_literal(array_fill(now(), array[50])) || '::timestamptz[]' as times,
        quote_literal(array_fill('{}'::jsonb, array[50])) || '::jsonb[]' as objects
"""


@pytest.mark.parametrize(("users", "grown"), SIZES)
async def test_a_plan_from_small_tables_reads_no_more_of_large_ones(database: str, users: int, grown: int) -> None:
    """During a large import the statistics are old, and each claim would read every row."""
    async with sessions(database) as (owner, session):
        await owner.execute(NODES)
        if users:
            await owner.execute(crowd(1, users))
            await owner.execute("vacuum analyze")
        await prepare(session, "before", QUERIES, await known(owner))

        await owner.execute(crowd(users + 1, grown))
        rows = await known(owner)
        before = await blocks(session, "before", QUERIES, rows)

        await owner.execute("vacuum analyze")
        await prepare(session, "after", QUERIES, rows)
        after = await blocks(session, "after", QUERIES, rows)
    assert {
        (*query[:2], read, at_best)
        for query, read, at_best in zip(QUERIES, before, after, strict=True)
        if read > TIMES * at_best + BLOCKS
    } == set()


BACKLOG = 20_000
"""Birthday messages that are due at once."""

READ_OF_BACKLOG = 4_000
"""Blocks that a claim of 50 messages, or a look for the first one, may read. The whole backlog takes one a message."""

CLAIM = "1000000, 1, 50, interval '48 hours', null"

BACKLOG_QUERIES = [
    ("messages", "claim_due", CLAIM),
    ("messages", "due_ids", "50"),
    ("messages", "claim_due_around_holds", CLAIM),
    ("messages", "read_clock", "true"),
    ("messages", "oldest_due", ""),
]
"""While an occasion is held, the ticker runs neither of the first two for what is due."""

DUE = """
with people as (
    insert into users (first_name, last_name, email, email_key, timezone)
    select 'Ada', 'Smith', n || '@example.com', n || '@example.com', 'UTC' from generate_series(1, $1) n
    returning id
)
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, planned_at, status)
select id, occasion, extract(year from at)::smallint, 'UTC', at, at, 'test', at, 'scheduled'
from (select id, row_number() over (order by id) as n from people) person
cross join (values ('birthday', $1::bigint), ('anniversary', 300)) o (occasion, messages)
cross join lateral (select business_now() - interval '1 second' * (n % 3600) as at) instant
where n <= messages
"""


@pytest.mark.parametrize("held", [False, True], ids=["all sent", "birthdays held"])
@pytest.mark.parametrize("analyzed", [False, True], ids=["not analyzed", "analyzed"])
async def test_a_claim_does_not_read_the_whole_backlog(database: str, analyzed: bool, held: bool) -> None:
    """After an outage, or during a hold, everything may be due at once, and the statistics may know nothing of it."""
    queries = BACKLOG_QUERIES[2 if held else 0 :]
    async with sessions(database) as (owner, session):
        rows = await known(owner)
        if not analyzed:
            await prepare(session, "asked", queries, rows)
        await owner.execute(DUE, BACKLOG)
        if held:
            await owner.execute(
                "insert into holds (occasion, reason, author) values ('birthday', 'a wrong text', 'ops')"
            )
        if analyzed:
            await owner.execute("analyze")
            await prepare(session, "asked", queries, rows)
        read = await blocks(session, "asked", queries, rows)
    assert {query[1]: count for query, count in zip(queries, read, strict=True) if count > READ_OF_BACKLOG} == {}


@asynccontextmanager
async def sessions(database: str) -> AsyncIterator[tuple[Any, Session]]:
    """A session of the owner, and one of a node that keeps a plan for each prepared statement. Nothing is analyzed."""
    owner = await asyncpg.connect(database)
    tables = await owner.fetch(
        "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        await owner.execute(f"alter table {table['name']} set (autovacuum_enabled = off)")
    session = await Servers(database, SETTINGS).connect(statement_cache_size=0)
    await session.execute("set plan_cache_mode = force_generic_plan")
    try:
        yield owner, session
    finally:
        await session.close()
        await owner.close()


async def known(owner: Any) -> Known:
    """Rows that the values name. The name of a row that is not there is null."""
    (row,) = await owner.fetch(KNOWN)
    ids = ("user", "message", "sending")
    return cast("Known", {name: value or ("null::uuid" if name in ids else "null") for name, value in row.items()})


async def prepare(session: Session, prefix: str, queries: Sequence[Query], rows: Known) -> None:
    """Prepare each query, and let the server make the plan that it keeps."""
    for number, query in enumerate(queries):
        text, execute = statements(*query, rows)
        await session.execute(text.replace("asked", f"{prefix}_{number}", 1))
        await session.execute(f"explain {execute.replace('asked', f'{prefix}_{number}', 1)}")


async def blocks(session: Session, prefix: str, queries: Sequence[Query], rows: Known) -> list[int]:
    """Run each prepared query, roll it back, and return how many blocks each read."""
    return [await _blocks(session, f"{prefix}_{number}", query, rows) for number, query in enumerate(queries)]


async def _blocks(session: Session, name: str, query: Query, rows: Known) -> int:
    _, text = statements(*query, rows)
    plan = ""
    for _ in range(2):  # the first run reads the catalog, too
        transaction = session.transaction()
        await transaction.start()
        plan = await session.fetchval(f"explain (analyze, buffers, format json) {text.replace('asked', name, 1)}")
        await transaction.rollback()
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
