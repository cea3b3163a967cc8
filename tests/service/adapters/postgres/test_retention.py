"""Tests that rows are deleted when they expire, and not before."""

from __future__ import annotations

from service.adapters.postgres.retention import PostgresRetention
from tests.service.adapters.postgres.conftest import Store

ROWS = """
with responses as (
    insert into idempotency_keys (key, fingerprint, started_at)
    select decode(lpad(n::text, 8, '0'), 'hex'), '\\x00', now() - make_interval(hours => n)
    from generate_series(1, 30) n
),
ended as (
    insert into nodes (node, ended_at) select 'node-' || n, now() - make_interval(days => 100 * n)
    from generate_series(1, 10) n
)
insert into audit (at, key_name, role, action, subject_kind, subject_id)
select business_now() - make_interval(days => 100 * n), 'k', 'admin', 'job.run', 'job', n::text
from generate_series(1, 10) n
"""


async def test_rows_past_their_life_are_deleted_and_no_others(store: Store) -> None:
    """24 hours, 800 days since the end of a node, two years. A living node never expires."""
    await store.nodes.enter("living")
    await store.fetch(ROWS)

    deleted = [await PostgresRetention(store.database).forget_expired() for _ in range(2)]

    left = await store.fetch(
        "select (select count(*) from idempotency_keys) as responses, (select count(*) from nodes) as nodes,"
        " (select count(*) from audit) as entries"
    )
    assert (deleted[0], deleted[1]) == (7 + 3 + 3, 0)
    assert dict(left[0]) == {"responses": 23, "nodes": 8, "entries": 7}
