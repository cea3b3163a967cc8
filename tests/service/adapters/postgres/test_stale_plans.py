"""A plan that was made for small tables does not read them completely when they have grown."""

from __future__ import annotations

import json
from typing import Any, cast

import asyncpg
import pytest

from loadtest.hot_queries import BIRTHDAY, HOT, INSTANTS, Known, statements
from service.adapters.postgres.session import SETTINGS, Servers, Session
from tests.service.adapters.postgres.crowd import NODES, crowd

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
    owner = await asyncpg.connect(database)
    # The session of a node. Each statement that is prepared by name keeps its own plan.
    session = await Servers(database, SETTINGS).connect(statement_cache_size=0)
    await session.execute("set plan_cache_mode = force_generic_plan")
    tables = await owner.fetch(
        "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        await owner.execute(f"alter table {table['name']} set (autovacuum_enabled = off)")
    await owner.execute(NODES)
    if users:
        await owner.execute(crowd(1, users))
        await owner.execute("vacuum analyze")
    await prepare(session, "before", await known(owner))

    await owner.execute(crowd(users + 1, grown))
    rows = await known(owner)
    before = [await blocks(session, f"before_{number}", number, rows) for number in range(len(QUERIES))]

    await owner.execute("vacuum analyze")
    await prepare(session, "after", rows)
    after = [await blocks(session, f"after_{number}", number, rows) for number in range(len(QUERIES))]
    await session.close()
    await owner.close()
    assert {
        (*query[:2], read, at_best)
        for query, read, at_best in zip(QUERIES, before, after, strict=True)
        if read > TIMES * at_best + BLOCKS
    } == set()


async def known(owner: Any) -> Known:
    """Rows that the values name. The name of a row that is not there is null."""
    (row,) = await owner.fetch(KNOWN)
    ids = ("user", "message", "sending")
    return cast("Known", {name: value or ("null::uuid" if name in ids else "null") for name, value in row.items()})


async def prepare(session: Session, prefix: str, rows: Known) -> None:
    """Prepare each query, and let the server make the plan that it keeps."""
    for number, query in enumerate(QUERIES):
        text, execute = statements(*query, rows)
        await session.execute(text.replace("asked", f"{prefix}_{number}", 1))
        await session.execute(f"explain {execute.replace('asked', f'{prefix}_{number}', 1)}")


async def blocks(session: Session, name: str, number: int, rows: Known) -> int:
    """Run a prepared query, roll it back, and return the number of blocks that it read."""
    _, text = statements(*QUERIES[number], rows)
    plan = ""
    for _ in range(2):  # the first run reads the catalog, too
        transaction = session.transaction()
        await transaction.start()
        plan = await session.fetchval(f"explain (analyze, buffers, format json) {text.replace('asked', name, 1)}")
        await transaction.rollback()
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
