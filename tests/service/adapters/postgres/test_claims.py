"""Tests that claims obey the business clock and the fencing tokens."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from service.domain.messages import Answer, Outcome, Status
from service.domain.planning import DesiredMessage
from service.domain.retry import FIRST
from service.domain.users import Profile, User
from service.ports import Outstanding, Result, StaleFencingToken, Unavailable
from tests.conftest import Clock
from tests.edits import edited
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store


async def claim_due(store: Store, *, fence: int = 1, incarnation: int = 1, limit: int = 500) -> list[UUID]:
    due = await store.messages.claim_due(fence=fence, incarnation=incarnation, limit=limit, late_limit=LATE_LIMIT)
    return list(due.queued)


async def test_a_missing_row_of_the_ticker_is_an_outage_with_words(store: Store) -> None:
    """The table was emptied by hand. A token of None made the ticker crash again and again."""
    await store.fetch("delete from fencing_tokens")

    with pytest.raises(Unavailable, match="row of the ticker in the table fencing_tokens is missing"):
        await claim_due(store)


async def test_tickers_that_replace_one_another_claim_each_row_once(store: Store) -> None:
    """When the lock changes hands, each holder gets a higher token, and earlier holders still run for a moment."""
    ids = await store.due(1000)
    claimed: list[UUID] = []
    replaced: list[int] = []

    async def ticker(fence: int) -> None:
        try:
            while batch := await claim_due(store, fence=fence, incarnation=fence, limit=50):
                claimed.extend(batch)
        except StaleFencingToken:
            replaced.append(fence)

    await asyncio.gather(*(ticker(fence) for fence in range(1, 11)))

    assert Counter(claimed) == Counter(ids)
    assert 10 not in replaced
    owners = await store.fetch("select id, queued_by from messages")
    assert len(owners) == 1000
    assert await store.database.value("select token from fencing_tokens where name = 'ticker'") == 10


async def test_a_row_that_is_being_changed_does_not_hold_up_the_others(store: Store) -> None:
    """One slow transaction must not delay a million greetings."""
    ids = await store.due(10)
    async with store.database.transaction() as connection:
        await connection.execute("select from messages where id = $1 for update", ids[0])

        assert await claim_due(store) == ids[1:]

    assert await claim_due(store) == ids[:1]


async def test_the_counts_of_gauges_read_a_bounded_number_of_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gauge must not cost more when a million messages are planned."""
    monkeypatch.setattr("service.adapters.postgres.messages.WAITING_LIMIT", 10)
    await store.queued(7)
    await store.due(15)

    assert await store.messages.open_by_status() == {Status.SCHEDULED: 10, Status.QUEUED: 7}


async def test_what_is_due_is_decided_by_the_business_clock(store: Store, clock: Clock) -> None:
    """Only the database's clock decides what is due."""
    ids = await store.due(3, ago=timedelta(hours=-2))
    assert await claim_due(store) == []

    await clock.advance(timedelta(hours=3))

    assert await claim_due(store) == ids


async def test_a_message_that_became_too_late_in_the_queue_is_not_sent(store: Store, clock: Clock) -> None:
    """After days of an open circuit, messages that were queued before it are too late and expire."""
    ids = await store.queued(2)
    await clock.advance(timedelta(hours=49))

    assert await store.messages.claim_for_sending(ids, incarnation=1, late_limit=LATE_LIMIT) == []
    assert await store.messages.requeue_lost(queued_for=timedelta(seconds=90)) == 2
    assert await claim_due(store) == []
    assert set((await store.statuses()).values()) == {"expired"}


async def test_a_queued_message_that_is_not_due_any_more_is_not_sent(store: Store, clock: Clock) -> None:
    """It was queued while the clock was wrong, and its instant has not come."""
    ids = await store.queued(3)
    await clock.advance(timedelta(hours=-3))

    early = await store.messages.claim_for_sending(ids, incarnation=1)
    await clock.advance(timedelta(hours=3))

    assert early == []
    assert {one.claim.id for one in await store.messages.claim_for_sending(ids, incarnation=1)} == set(ids)


async def test_a_message_is_expired_only_when_it_is_later_than_the_limit(store: Store) -> None:
    """The pass that queues the others expires it, with a reason that people can read."""
    (late,) = await store.due(1, ago=LATE_LIMIT + timedelta(minutes=1))
    (in_time,) = await store.due(1, ago=LATE_LIMIT - timedelta(minutes=1))

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)

    assert (due.queued, [one.id for one in due.too_late]) == ((in_time,), [late])
    (row,) = await store.fetch("select status_reason, ended_at is not null as ended from messages where id = $1", late)
    assert row["ended"]
    assert row["status_reason"].startswith("too late to send")


async def test_a_redriven_message_that_was_moved_since_is_late_by_its_new_instant(store: Store, clock: Clock) -> None:
    """A message redriven in spring, whose user moved it to autumn, is on time in autumn."""
    (message,) = await store.due(1, ago=timedelta(hours=49))
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    await store.messages.redrive([message], by=OPERATOR)
    (row,) = await store.fetch("select user_id, local_year from messages")
    in_a_week = await clock.now() + timedelta(days=7)

    def edit(user: User) -> Profile:
        return user.profile

    desired = [DesiredMessage("birthday", row["local_year"], in_a_week)]
    await edited(store.users, row["user_id"], edit, lambda *_: desired, version=None)
    await clock.advance(timedelta(days=7, minutes=1))

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)

    assert (due.queued, due.too_late) == ((message,), ())


async def test_a_claim_reads_the_person_as_they_are_now(store: Store) -> None:
    """A name corrected at 08:59 is in the greeting at 09:00."""
    (message,) = await store.queued(1)
    await store.fetch("update users set first_name = 'Grace', last_name = 'Hopper', email = 'grace@example.com'")
    await store.fetch("update occasions set template = 'Hello {full_name}' where code = 'birthday'")

    (claimed,) = await store.messages.claim_for_sending([message], incarnation=7)

    assert (claimed.first_name, claimed.last_name, claimed.email) == ("Grace", "Hopper", "grace@example.com")
    assert claimed.template == "Hello {full_name}"
    assert (claimed.claim.attempt, claimed.claim.incarnation, claimed.history) == (1, 7, FIRST)


async def test_no_deleted_user_is_greeted(store: Store) -> None:
    """This holds even if a row stayed `queued` by mistake."""
    ids = await store.queued(2)
    await store.fetch("update users set deleted_at = business_now()")

    assert await store.messages.claim_for_sending(ids, incarnation=1) == []


async def test_unknown_ids_are_ignored(store: Store) -> None:
    """A queue may hold ids that a restored database does not have."""
    assert await store.messages.claim_for_sending([UUID(int=7)], incarnation=1) == []
    assert await store.messages.claim_for_sending([], incarnation=1) == []


async def test_a_redrive_gives_a_fresh_budget_of_attempts(store: Store) -> None:
    """The operator has repaired the cause, so earlier attempts do not count."""
    (message,) = await store.queued(1)
    (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)
    refused = Answer(Outcome.PERMANENT_FAILURE, 0.1, 422)
    await store.messages.record([Result(claimed.claim, Status.FAILED, refused, began=0.0)], at=0.1)
    await store.messages.mark_dead_lettered([message])

    assert await store.messages.redrive([message, message], by=OPERATOR) == [message]
    assert await store.messages.redrive([message], by=OPERATOR) == []

    assert await claim_due(store) == [message]
    (again,) = await store.messages.claim_for_sending([message], incarnation=1)
    assert (again.claim.attempt, again.history) == (2, FIRST)


async def test_a_redrive_after_the_clock_has_jumped_back_is_not_early(store: Store, clock: Clock) -> None:
    """The schema refuses a due instant before the greeting's, so the redrive must use the greeting's instant."""
    (message,) = await store.due(1, ago=timedelta(hours=49))
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    await clock.advance(timedelta(hours=-50))

    assert await store.messages.redrive([message], by=OPERATOR) == [message]

    assert await claim_due(store) == []
    assert await store.database.value("select due_at = send_at from messages")


async def test_the_clock_is_read_with_the_next_due_instant(store: Store, clock: Clock) -> None:
    """The ticker sleeps until then."""
    empty = await store.messages.read_clock(next_due=True)
    await store.due(3, ago=timedelta(hours=-1))
    await clock.rate(60)

    reading = await store.messages.read_clock(next_due=True)

    assert (empty.next_due, empty.rate) == (None, 1.0)
    assert reading.rate == 60.0
    assert reading.next_due is not None
    assert timedelta(minutes=50) < reading.next_due - reading.now < timedelta(hours=1)
    assert reading.real_now - empty.real_now < timedelta(minutes=1)


async def test_what_is_on_its_way_is_counted_no_further_than_asked(store: Store) -> None:
    """Back-pressure needs a bounded count, which must not cost more with a million rows."""
    await store.queued(20)

    assert await store.messages.outstanding(50) == Outstanding(20, 0)
    assert await store.messages.outstanding(7) == Outstanding(7, 0)


async def test_what_was_taken_back_is_counted_with_the_move(store: Store) -> None:
    """The ticker must not take it for sent."""
    await store.queued(3)

    await store.messages.requeue_lost(queued_for=timedelta(0))
    await store.messages.requeue_lost(queued_for=timedelta(0))

    assert await store.messages.outstanding(50) == Outstanding(0, 3)


async def test_the_figures_of_the_open_are_those_of_the_rows(store: Store) -> None:
    """Operators watch these gauges during an outage."""
    assert await store.messages.oldest_due_age() == 0.0
    ids = await store.queued(6)
    await store.messages.claim_for_sending(ids[:2], incarnation=1)
    await store.due(3, ago=timedelta(minutes=5))

    counts = await store.messages.open_by_status()

    assert counts == {Status.QUEUED: 4, Status.SENDING: 2, Status.SCHEDULED: 3}
    assert 300 < await store.messages.oldest_due_age() < 330


async def test_the_next_wave_is_the_next_instant_of_what_is_scheduled(store: Store) -> None:
    """A retry that comes earlier is no wave, and neither is what is due now."""
    assert await store.messages.next_wave() is None
    await store.due(1)
    await store.due(3, ago=timedelta(hours=-2))
    await store.due(2, ago=timedelta(hours=-4))
    await store.fetch(
        "update messages set due_at = (select max(due_at) from messages where due_at < business_now() + interval '3 h')"
        " where due_at between business_now() and business_now() + interval '3 h'"
    )
    await store.queued(1)
    await store.fetch(
        "update messages set status = 'retrying', attempt = 1, due_at = business_now() + interval '5 minutes' "
        "where status = 'queued'"
    )

    wave = await store.messages.next_wave()

    assert wave is not None
    assert wave.messages == 3
    assert 7000 < wave.seconds <= 7200


async def test_a_message_that_is_tried_again_and_again_has_been_due_since_its_instant(store: Store) -> None:
    """Otherwise a message that was not accepted for an hour would not look late."""
    await store.queued(1)
    await store.due(1, ago=timedelta(hours=1))
    await store.fetch(
        "update messages set status = 'retrying', attempt = 7, due_at = business_now() + interval '5 minutes' "
        "where send_at < business_now() - interval '50 minutes'"
    )

    retrying = await store.messages.oldest_due_age()
    await store.fetch(
        "update messages set status = 'queued', queued_at = business_now(), queued_by = 1, due_at = business_now() "
        "where status = 'retrying'"
    )
    queued = await store.messages.oldest_due_age()
    await store.fetch(
        "update messages set status = 'sending', claimed_at = business_now(), claimed_by = 1 where attempt = 7"
    )
    sending = await store.messages.oldest_due_age()

    assert all(3600 <= age < 3630 for age in (retrying, queued, sending)), (retrying, queued, sending)


async def test_the_oldest_snapshot_is_that_of_any_client_of_this_database(store: Store) -> None:
    """A forgotten transaction keeps every old row version."""
    none = await store.messages.oldest_snapshot_age()
    async with asyncpg.create_pool(store.dsn, min_size=1, max_size=1) as pool:
        async with pool.acquire() as other, other.transaction(isolation="repeatable_read"):
            began = await other.fetchval("select now() from occasions")
            before = (await store.fetch("select extract(epoch from clock_timestamp() - $1)::float8 as age", began))[0]
            age = await store.messages.oldest_snapshot_age()
        ended = await store.messages.oldest_snapshot_age()

    assert (none, ended) == (0.0, 0.0)
    assert age >= before["age"] > 0


async def test_a_message_that_is_redriven_is_due_since_then(store: Store) -> None:
    """It was counted when it failed. A redriven message is not late by days."""
    await store.due(1, ago=timedelta(hours=1))
    await store.fetch("update messages set status = 'expired', ended_at = business_now()")
    (row,) = await store.fetch("select id from messages")
    await store.messages.redrive([row["id"]], by=OPERATOR)
    await store.fetch(
        "update messages set status = 'retrying', attempt = 1, due_at = business_now() + interval '5 minutes'"
    )

    assert await store.messages.oldest_due_age() < 30


async def test_a_repeated_claim_gets_its_own_rows_and_no_others(store: Store) -> None:
    """The answer to the first claim was lost. Nothing was sent, so no attempt has an unknown outcome."""
    ids = await store.queued(4)
    first = await store.messages.claim_for_sending(ids[:2], incarnation=1, token=11)
    await store.messages.claim_for_sending(ids[2:3], incarnation=1, token=12)

    again = await store.messages.claim_for_sending(ids, incarnation=1, token=11)
    of_another_node = await store.messages.claim_for_sending(ids, incarnation=2, token=11)
    without_token = await store.messages.claim_for_sending(ids, incarnation=1)

    assert {one.claim for one in again} >= {one.claim for one in first}
    assert {one.claim.id for one in again} == {ids[0], ids[1], ids[3]}
    assert {one.claim.attempt for one in again} == {1}
    assert (of_another_node, without_token) == ([], [])


async def test_a_claim_tells_what_was_tried_before(store: Store, clock: Clock) -> None:
    """The next step depends on spent attempts, and on the age of an unknown outcome."""
    (message,) = await store.queued(1)
    for answer in (Answer(Outcome.UNKNOWN, 2.0), Answer(Outcome.TRANSIENT_FAILURE, 1.0, 503, spent=False)):
        (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)
        await store.messages.record([Result(claimed.claim, Status.RETRYING, answer, began=0.0)], at=answer.duration)
        assert await claim_due(store) == [message]

    (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)

    assert (claimed.claim.attempt, claimed.history.made, claimed.history.spent) == (3, 2, 1)
    assert claimed.history.unknown_for is not None
    assert timedelta(seconds=2) <= claimed.history.unknown_for < timedelta(seconds=60)
    assert claimed.history.last_ago is not None
    assert 0 <= claimed.history.last_ago < 60
