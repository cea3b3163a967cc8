"""The moves of messages: each is a compare-and-set, and happens once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from service.adapters.postgres.connection import QUERY_TIMEOUT
from service.domain.messages import Answer, Outcome, Status
from service.ports import Claimed, Result, StaleFencingToken, Unavailable
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

ACCEPTED = Answer(Outcome.ACCEPTED, 0.1, 200)


def sent(claimed: Claimed) -> Result:
    return Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)


async def claim_due(store: Store, *, limit: int = 500, fence: int = 1, incarnation: int = 1) -> list[UUID]:
    due = await store.messages.claim_due(fence=fence, incarnation=incarnation, limit=limit, late_limit=LATE_LIMIT)
    return list(due.queued)


async def test_what_is_due_is_claimed_oldest_first_and_once_by_however_many(store: Store) -> None:
    """Two tickers at work must be harmless."""
    ids = await store.due(900)

    first = await claim_due(store, limit=100)
    rest = await asyncio.gather(*(claim_due(store, limit=200) for _ in range(10)))

    assert first == ids[:100]
    assert Counter(message for part in rest for message in part) == Counter(ids[100:])


async def test_a_message_that_is_not_due_is_not_claimed(store: Store) -> None:
    """No greeting is early."""
    await store.due(5, ago=timedelta(seconds=-3600))

    assert await claim_due(store) == []


async def test_a_ticker_that_was_replaced_claims_nothing_and_is_told(store: Store) -> None:
    """It may have been suspended while it held the lock."""
    await store.due(5)
    assert len(await claim_due(store, limit=1, fence=8)) == 1

    with pytest.raises(StaleFencingToken) as replaced:
        await claim_due(store, fence=7)

    assert replaced.value.number == 8
    assert len(await claim_due(store, fence=8)) == 4


async def test_what_is_later_than_the_limit_expires_and_a_redriven_one_does_not(store: Store) -> None:
    """An operator redrives late messages on purpose."""
    late, redriven = await store.due(2, ago=timedelta(hours=49))
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    assert {one.id for one in due.too_late} == {late, redriven}

    assert await store.messages.redrive([redriven], by=OPERATOR) == [redriven]

    assert await claim_due(store) == [redriven]
    assert (await store.statuses())[late] == "expired"


async def test_a_bundle_is_claimed_by_one_of_many_senders(store: Store) -> None:
    """Three copies of a bundle must not make three calls."""
    ids = await store.queued(200)

    claims = await asyncio.gather(
        *(store.messages.claim_for_sending(ids, incarnation=number) for number in range(1, 11))
    )

    assert Counter(one.claim.id for part in claims for one in part) == Counter(ids)


async def test_bundles_that_overlap_are_claimed_without_deadlock(store: Store) -> None:
    """Messages that were put back may be in other bundles."""
    ids = await store.queued(300)

    claims = await asyncio.gather(
        *(
            store.messages.claim_for_sending(part, incarnation=number)
            for number, part in enumerate([ids, ids[::-1], ids[100:], ids[:200], ids[50:250][::-1]] * 3)
        )
    )

    assert Counter(one.claim.id for part in claims for one in part) == Counter(ids)


async def test_only_the_owner_of_a_claim_moves_it_and_once(store: Store) -> None:
    """An answer after the claim was taken over is recorded, but moves nothing."""
    (message,) = await store.queued(1)
    (first,) = await store.messages.claim_for_sending([message], incarnation=1)
    assert len(await store.messages.release_claims([(message, 1)], hold=False)) == 1
    assert await claim_due(store) == [message]
    (second,) = await store.messages.claim_for_sending([message], incarnation=2)

    assert await store.messages.record([sent(first)], at=1.0) == []
    assert (await store.statuses())[message] == "sending"
    (moved,) = await store.messages.record([sent(second)], at=1.0)
    assert await store.messages.record([sent(second)], at=1.0) == []

    assert (moved.id, moved.status) == (message, Status.SENT)
    rows = await store.fetch("select number, outcome, incarnation from attempts order by number, outcome")
    assert [tuple(row) for row in rows] == [(1, "accepted", 1), (1, "unknown", 1), (2, "accepted", 2)]


async def test_an_attempt_that_was_not_made_is_not_spent(store: Store) -> None:
    """An open circuit spends no attempts."""
    (message,) = await store.queued(1)
    (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)

    await store.messages.record([Result(claimed.claim, Status.RETRYING, None, began=0.0)], at=0.0)

    rows = await store.fetch("select status, attempt, (select count(*) from attempts) as attempts from messages")
    assert [tuple(row) for row in rows] == [("retrying", 0, 0)]


async def test_a_retry_is_due_after_its_delay(store: Store) -> None:
    """A retry is a row with a due instant, like any other due message."""
    (message,) = await store.queued(1)
    (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)
    rejected = Answer(Outcome.TRANSIENT_FAILURE, 0.1, 503)

    result = Result(claimed.claim, Status.RETRYING, rejected, began=0.0, delay=timedelta(seconds=90))
    await store.messages.record([result], at=0.1)

    assert await claim_due(store) == []
    (row,) = await store.fetch("select due_at - business_now() as wait from messages")
    assert timedelta(seconds=85) < row["wait"] <= timedelta(seconds=90)


@pytest.mark.parametrize(("hold", "status"), [(False, "retrying"), (True, "unknown")])
async def test_the_claims_of_an_ended_node_have_an_unknown_outcome(store: Store, hold: bool, status: str) -> None:
    """The service may have accepted them. Claims of a living node are not touched."""
    dead, living = await store.nodes.enter("dead"), await store.nodes.enter("living")
    ids = await store.queued(4)
    await store.messages.claim_for_sending(ids[:2], incarnation=dead)
    await store.messages.claim_for_sending(ids[2:], incarnation=living)
    await store.nodes.leave(dead)

    freed = await asyncio.gather(*(store.messages.release_claims(hold=hold) for _ in range(5)))

    assert [(one.status, one.occasion, one.attempt) for each in freed for one in each] == [(status, "birthday", 1)] * 2
    assert await store.statuses() == dict(zip(ids, [status, status, "sending", "sending"], strict=True))
    assert await store.database.value("select count(*) from attempts where outcome = 'unknown'") == 2


async def test_only_the_latest_claim_of_a_dead_ticker_is_taken_back(store: Store) -> None:
    """Only the latest claim may be missing in the stream; claims of other tickers are not touched."""
    await store.due(9)
    before = await claim_due(store, limit=3, incarnation=7)
    latest = await claim_due(store, limit=3, incarnation=7)
    other = await claim_due(store, limit=3, incarnation=8)

    assert await store.messages.requeue_claim(incarnation=7) == 3

    statuses = await store.statuses()
    assert {statuses[message] for message in latest} == {"scheduled"}
    assert {statuses[message] for message in [*before, *other]} == {"queued"}


async def test_what_was_queued_for_long_is_taken_back_and_what_was_not_stays(store: Store) -> None:
    """Its entry is lost, for example because a store was emptied."""
    lost, fresh = await store.queued(2)
    await store.fetch("update messages set queued_at = queued_at - interval '2 minutes' where id = $1", lost)

    assert await store.messages.requeue_lost(queued_for=timedelta(seconds=90)) == 1

    assert await store.statuses() == {lost: "scheduled", fresh: "queued"}


async def test_a_heartbeat_decides_which_node_lives(store: Store) -> None:
    """A node can be ended only at the heartbeat that was seen, and once. It learns this at its next heartbeat."""
    incarnation = await store.nodes.enter("node")
    (seen,) = await store.nodes.living()
    assert await store.nodes.beat(incarnation)

    assert not await store.nodes.end(seen)
    (seen,) = await store.nodes.living()
    assert sorted(await asyncio.gather(*(store.nodes.end(seen) for _ in range(5)))) == [False] * 4 + [True]

    assert not await store.nodes.beat(incarnation)
    assert await store.nodes.living() == []


async def test_a_look_at_the_living_nodes_that_hangs_is_given_up_soon(store: Store) -> None:
    """Else a dead node is seen only after the deadline of an ordinary statement."""
    other = await asyncpg.connect(store.dsn)
    await other.execute("begin; lock table nodes in access exclusive mode")

    try:
        async with asyncio.timeout(QUERY_TIMEOUT / 2):
            with pytest.raises(Unavailable, match="no answer in time"):
                await store.nodes.living()
    finally:
        await other.close()
