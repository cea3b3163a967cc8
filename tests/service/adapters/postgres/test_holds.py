"""Claims read the holds in the same statement, so no claim is later than a hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.queries import load
from service.domain.messages import Status
from service.ports import HoldRefused, Result
from service.ports.messages import HELD
from tests.conftest import Clock
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.service.adapters.postgres.test_claims import claim_due


async def anniversaries(store: Store, ids: list[UUID]) -> None:
    """Move these messages to another occasion."""
    await store.fetch("update messages set occasion = 'anniversary' where id = any($1::uuid[])", ids)


async def test_what_is_held_is_not_handed_out_and_is_not_due_next(store: Store) -> None:
    """Otherwise the ticker would find held messages due again and again."""
    holds = PostgresHolds(store.database)
    ids = await store.due(6)
    await anniversaries(store, ids[::2])
    birthday = await holds.create(occasion="birthday", reason="a test", by=OPERATOR)
    everything = await holds.create(occasion=None, reason="a test", by=OPERATOR)
    assert (await store.messages.read_clock(next_due=True)).next_due is None
    assert await claim_due(store) == []

    await holds.release([everything.id], by=OPERATOR)
    assert (await store.messages.read_clock(next_due=True)).next_due is not None
    assert await claim_due(store) == ids[::2]
    assert (await store.messages.read_clock(next_due=True)).next_due is None

    await holds.release([birthday.id], by=OPERATOR)
    assert await claim_due(store) == ids[1::2]


async def test_a_held_message_does_not_count_as_due(store: Store) -> None:
    """A person stopped it, so no alert about late greetings may call another one."""
    holds = PostgresHolds(store.database)
    await anniversaries(store, await store.due(2, ago=timedelta(hours=3)))
    put_off = await store.due(1, ago=timedelta(hours=2))
    await anniversaries(store, put_off)
    await store.fetch(
        "update messages set status = 'retrying', attempt = 1, due_at = business_now() + interval '5 minutes' "
        "where id = $1",
        put_off[0],
    )
    await store.due(1, ago=timedelta(hours=1))

    await holds.create(occasion="anniversary", reason="a test", by=OPERATOR)
    assert 3600 <= await store.messages.oldest_due_age() < 3630

    everything = await holds.create(occasion=None, reason="a test", by=OPERATOR)
    assert await store.messages.oldest_due_age() == 0.0

    await holds.release([everything.id], by=OPERATOR)
    assert 3600 <= await store.messages.oldest_due_age() < 3630


async def test_the_oldest_due_message_is_found_without_reading_the_others(store: Store) -> None:
    """A node looks for it every 5 s, also while a million are due and statistics are from before."""
    await store.due(600, ago=timedelta(days=-1))
    await store.fetch("analyze messages")
    ids = await store.due(600)
    await anniversaries(store, ids[::2])
    await store.fetch("update messages set status = 'retrying', attempt = 1 where id = any($1)", ids[400:])
    await store.fetch(
        "update messages set due_at = business_now() + interval '5 minutes' where id = any($1)", ids[500:]
    )

    text = await store.fetch(f"explain (analyze, format json) {load('messages.sql').oldest_due}")
    (plan,) = json.loads(text[0][0])

    assert max(rows_of(plan["Plan"])) < 20


def rows_of(plan: dict[str, Any]) -> Iterator[int]:
    """The rows of each node of a plan, in all its loops."""
    yield int(plan["Actual Rows"] * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from rows_of(below)


@pytest.mark.parametrize("read_before", [False, True], ids=["before the reading", "after the reading"])
async def test_both_ways_of_finding_what_is_due_respect_limit_and_order(store: Store, *, read_before: bool) -> None:
    """The second query is used when the last reading has seen a hold. Both respect a hold that comes in between."""
    ids = await store.due(9)
    await anniversaries(store, ids[::3])
    await PostgresHolds(store.database).create(occasion="anniversary", reason="a test", by=OPERATOR)
    if read_before:
        await store.messages.read_clock()
    wanted = [one for one in ids if one not in ids[::3]]

    assert await claim_due(store, limit=4) == wanted[:4]
    assert await claim_due(store, limit=4) == wanted[4:]
    assert await claim_due(store, limit=4) == []


async def test_queued_messages_that_are_held_go_back_unspent_and_keep_their_place(store: Store) -> None:
    """They were handed out before the hold, and are delivered after it."""
    ids = await store.queued(4)
    await anniversaries(store, ids[2:])
    before = {row["id"]: row["due_at"] for row in await store.fetch("select id, due_at from messages")}
    hold = await PostgresHolds(store.database).create(occasion="birthday", reason="a test", by=OPERATOR)

    claims = await store.messages.claim_for_sending(ids, incarnation=1, token=1, late_limit=LATE_LIMIT)

    assert sorted(one.claim.id for one in claims) == sorted(ids[2:])
    assert claims.left_out == {HELD: 2}
    held = await store.fetch("select * from messages where id = any($1::uuid[])", ids[:2])
    assert {(row["status"], row["attempt"], row["claimed_by"]) for row in held} == {("scheduled", 0, None)}
    assert {row["id"]: row["due_at"] for row in held} == {one: before[one] for one in ids[:2]}
    await PostgresHolds(store.database).release([hold.id], by=OPERATOR)
    assert await claim_due(store) == ids[:2]


async def test_a_hold_ends_by_the_business_clock(store: Store, clock: Clock) -> None:
    """The clocks of nodes may be wrong."""
    holds = PostgresHolds(store.database)
    made = await holds.create(occasion=None, reason="a test", by=OPERATOR, lasts=timedelta(hours=2))
    assert await holds.active() == [made]
    await clock.advance(timedelta(hours=2, seconds=1))
    assert await holds.active() == []
    # It ended by itself, and does not change.
    assert await holds.release([made.id], by=OPERATOR) == [made]


async def test_a_hold_that_would_do_nothing_is_refused(store: Store, clock: Clock) -> None:
    """The operator would believe that sending is held."""
    holds = PostgresHolds(store.database)
    with pytest.raises(HoldRefused, match="occasion"):
        await holds.create(occasion="birthdays", reason="a test", by=OPERATOR)
    with pytest.raises(HoldRefused, match="until"):
        await holds.create(occasion=None, reason="a test", by=OPERATOR, until=await clock.now())


async def test_what_was_claimed_and_not_called_keeps_its_place(store: Store) -> None:
    """After the release the oldest messages leave first, also before those that were never claimed."""
    ids = await store.queued(3)
    (claimed,) = await store.messages.claim_for_sending(ids[1:2], incarnation=1)
    await store.messages.record([Result(claimed.claim, Status.RETRYING, None, 0.0)], at=0.0)
    await store.messages.requeue(ids, incarnation=1)

    assert await claim_due(store) == ids
    assert await store.fetch("select 1 from messages where attempt <> 0") == []
