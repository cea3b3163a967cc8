"""A user is edited or deleted while their greeting is being sent: the attempt counts, and another may not be made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
import pytest

from service.domain.messages import Answer, Outcome, Status
from service.domain.planning import DesiredMessage
from service.domain.users import Profile
from service.ports import Claimed, Result
from tests.conftest import Clock
from tests.edits import edited
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store

ACCEPTED = Answer(Outcome.ACCEPTED, 0.1, 200)
REJECTED = Answer(Outcome.TRANSIENT_FAILURE, 0.2, 503, "unavailable")

PAUSE_IN_RELEASE = """
    insert into set_aside (message_id, action, reason, look_again_at)
    values (uuid_v7(), 'record', 'another message', business_now() + interval '1 minute');
    create or replace function business_now() returns timestamptz language plpgsql as $$
    begin
        if current_query() like '%its node died%' then
            perform pg_advisory_xact_lock_shared(1);
        end if;
        return statement_timestamp();
    end $$
"""
"""A release waits for advisory lock 1 where it looks at the messages that are set aside: it has read the rows then."""

End = Callable[[Store, Claimed], Awaitable[object]]


async def rejected(store: Store, claimed: Claimed) -> None:
    """Record that the attempt did not succeed."""
    await store.messages.record([Result(claimed.claim, Status.RETRYING, REJECTED, began=0.0)], at=1.0)


async def freed(store: Store, _claimed: Claimed) -> None:
    """Release the claim: the node has died, and the outcome is unknown."""
    await store.messages.release_claims(hold=False)


async def being_sent(store: Store) -> Claimed:
    """A message that incarnation 1, which has ended, is sending."""
    (claimed,) = await store.messages.claim_for_sending(await store.queued(1), incarnation=1)
    return claimed


async def move(store: Store, claimed: Claimed, to: datetime | None, *, timezone: str = "Asia/Tokyo") -> None:
    """Move the user's day to that instant, or remove it."""
    user = await store.database.value("select user_id from messages")

    def plan(_before: Profile, _after: Profile, _now: datetime) -> list[DesiredMessage]:
        return [DesiredMessage("birthday", claimed.claim.local_year, to)]

    def edit(user: object) -> Profile:
        return Profile("Ada", "Smith", "ada@example.com", timezone, {})

    await edited(store.users, user, edit, plan, version=None)


@pytest.mark.parametrize("deleted", [True, False])
async def test_an_edit_that_waited_for_the_end_of_an_attempt_is_made(store: Store, deleted: bool) -> None:
    """The row is `sending` when the statement begins, and `retrying` when the statement gets the lock."""
    claimed = await being_sent(store)
    user = await store.database.value("select user_id from messages")
    recording, other = await asyncpg.connect(store.dsn), await asyncpg.connect(store.dsn)
    await recording.execute("begin; update messages set status = 'retrying', claimed_by = null")

    async def edit() -> None:
        if deleted:
            await store.users.delete(user, version=None, by=OPERATOR)
        else:
            await move(store, claimed, claimed.send_at + timedelta(hours=5))

    editing = asyncio.ensure_future(edit())
    waits = "select count(*) from pg_locks where not granted"
    await eventually(lambda: other.fetchval(waits))

    await recording.execute("commit")
    await editing

    assert set((await store.statuses()).values()) == {"cancelled" if deleted else "scheduled"}
    await recording.close()
    await other.close()


@pytest.mark.parametrize("end", [rejected, freed])
async def test_a_day_moved_ahead_while_being_sent_is_greeted_at_its_new_instant(store: Store, end: End) -> None:
    """A retry at once would come before the new 09:00."""
    claimed = await being_sent(store)
    later = claimed.send_at + timedelta(hours=5)

    await move(store, claimed, later)
    assert set((await store.statuses()).values()) == {"sending"}
    await end(store, claimed)

    (row,) = await store.fetch("select status, send_at, due_at, timezone, ended_at, reschedule_to from messages")
    assert tuple(row) == ("scheduled", later, later, "Asia/Tokyo", None, None)


async def test_an_edit_between_the_read_and_the_lock_of_a_release_counts(store: Store) -> None:
    """The release has read the row before the edit, and locks it after: it must go by what it has locked."""
    claimed = await being_sent(store)
    later = claimed.send_at + timedelta(hours=5)
    gate = await asyncpg.connect(store.dsn)
    await gate.execute(PAUSE_IN_RELEASE)
    await gate.execute("select pg_advisory_lock(1)")

    releasing = asyncio.ensure_future(store.messages.release_claims(hold=False))
    await eventually(lambda: gate.fetchval("select count(*) from pg_locks where not granted"))
    await move(store, claimed, later)
    await gate.execute("select pg_advisory_unlock(1)")
    await releasing

    (row,) = await store.fetch("select status, send_at, timezone, reschedule_to from messages")
    assert tuple(row) == ("scheduled", later, "Asia/Tokyo", None)
    await gate.close()


async def test_a_record_that_waited_for_an_edit_takes_the_zone_of_the_edit(store: Store) -> None:
    """With the new instant and the old zone, the next version of the time zone data would move the message."""
    claimed = await being_sent(store)
    later = claimed.send_at + timedelta(hours=5)
    editing, other = await asyncpg.connect(store.dsn), await asyncpg.connect(store.dsn)
    await editing.execute("begin; update users set timezone = 'Asia/Tokyo'")
    await editing.execute("update messages set reschedule_to = $1", later)

    recording = asyncio.ensure_future(rejected(store, claimed))
    await eventually(lambda: other.fetchval("select count(*) from pg_locks where not granted"))
    await editing.execute("commit")
    await recording

    (row,) = await store.fetch("select status, send_at, timezone from messages")
    assert tuple(row) == ("scheduled", later, "Asia/Tokyo")
    await editing.close()
    await other.close()


async def test_an_edit_of_the_name_at_the_same_moment_leaves_the_zone_to_the_edit_before(store: Store) -> None:
    """The new name locks the user, and the zone was changed before."""
    claimed = await being_sent(store)
    later = claimed.send_at + timedelta(hours=5)
    await store.fetch("update users set timezone = 'Asia/Tokyo'")
    await store.fetch("update messages set reschedule_to = $1", later)

    async with store.database.transaction() as naming:
        await naming.execute("update users set first_name = 'Augusta'")
        await rejected(store, claimed)

    (row,) = await store.fetch("select status, send_at, timezone from messages")
    assert tuple(row) == ("scheduled", later, "Asia/Tokyo")


@pytest.mark.parametrize("end", [rejected, freed])
async def test_a_day_removed_while_being_sent_is_not_tried_again(store: Store, end: End) -> None:
    """The user no longer has the day."""
    claimed = await being_sent(store)

    await move(store, claimed, None)
    await end(store, claimed)

    (row,) = await store.fetch("select status, ended_at is not null, reschedule_to, status_reason from messages")
    assert tuple(row) == ("cancelled", True, None, "the user was edited while it was being sent")


@pytest.mark.parametrize("end", [rejected, freed])
async def test_a_user_deleted_while_being_sent_to_is_not_sent_to_again(store: Store, end: End) -> None:
    """No claim takes messages of deleted users, so the message would wait until it expires."""
    claimed = await being_sent(store)
    user = await store.database.value("select user_id from messages")

    await store.users.delete(user, version=None, by=OPERATOR)
    await end(store, claimed)

    assert set((await store.statuses()).values()) == {"cancelled"}


async def test_an_attempt_that_succeeds_counts_wherever_the_day_was_moved(store: Store) -> None:
    """At most one greeting per user, occasion and local year, after any edit."""
    claimed = await being_sent(store)

    await move(store, claimed, claimed.send_at + timedelta(hours=5))
    await store.messages.record([Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)], at=1.0)

    (row,) = await store.fetch("select status, send_at, reschedule_to from messages")
    assert tuple(row) == ("sent", claimed.send_at, None)


async def test_a_day_moved_away_and_back_is_tried_again_as_if_nothing_had_been(store: Store) -> None:
    """The last edit counts."""
    claimed = await being_sent(store)

    await move(store, claimed, None)
    await move(store, claimed, claimed.send_at)
    await rejected(store, claimed)

    (row,) = await store.fetch("select status, send_at from messages")
    assert tuple(row) == ("retrying", claimed.send_at)


async def test_a_later_attempt_of_a_message_is_not_freed_for_an_earlier_one_that_was_stuck(store: Store) -> None:
    """Between the check and the release, the attempt may end and another begin on a healthy node."""
    living = await store.nodes.enter("living")
    (message,) = await store.queued(1)
    (claimed,) = await store.messages.claim_for_sending([message], incarnation=living)
    found = [(message, claimed.claim.attempt)]
    await rejected(store, claimed)
    await store.messages.claim_due(fence=1, incarnation=living, limit=1, late_limit=timedelta(hours=48))
    await store.messages.claim_for_sending([message], incarnation=living)

    assert await store.messages.release_claims(found, hold=False) == []

    assert await store.statuses() == {message: "sending"}


async def test_what_was_queued_before_the_clock_was_set_back_is_taken_back(store: Store, clock: Clock) -> None:
    """Its bundle is dropped as not yet due, so the ticker must find it again at its instant."""
    (message,) = await store.queued(1)
    await clock.advance(timedelta(hours=-2))

    assert await store.messages.requeue_lost(queued_for=timedelta(seconds=90)) == 1

    assert await store.statuses() == {message: "scheduled"}


async def test_what_was_claimed_before_the_clock_was_set_back_may_be_stuck(store: Store, clock: Clock) -> None:
    """Otherwise a claim that its node has lost would be found only when the clock reaches its old value."""
    claimed = await being_sent(store)
    await clock.advance(timedelta(hours=-2))

    assert await store.messages.sending_for(45) == {(claimed.claim.id, 1)}
