"""Claims follow the business clock and the fencing numbers, whatever the queue and the other nodes do."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

from service.domain.messages import Answer, Outcome, Status
from service.domain.users import Profile, User
from service.ports import Replaced, Result, Wanted
from tests.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.conftest import Clock


async def claim_due(store: Store, *, fence: int = 1, incarnation: int = 1, limit: int = 500) -> list[UUID]:
    due = await store.messages.claim_due(fence=fence, incarnation=incarnation, limit=limit, late_limit=LATE_LIMIT)
    return list(due.queued)


async def test_tickers_that_replace_one_another_claim_each_row_once(store: Store) -> None:
    """The lock is lost and taken again: each holder has a higher number, and the others still run for a moment."""
    ids = await store.due(1000)
    claimed: list[UUID] = []
    replaced: list[int] = []

    async def ticker(fence: int) -> None:
        try:
            while batch := await claim_due(store, fence=fence, incarnation=fence, limit=50):
                claimed.extend(batch)
        except Replaced:
            replaced.append(fence)

    await asyncio.gather(*(ticker(fence) for fence in range(1, 11)))

    assert Counter(claimed) == Counter(ids)
    assert 10 not in replaced
    owners = await store.fetch("select id, queued_by from messages")
    assert len(owners) == 1000
    assert await store.database.value("select number from fences where name = 'ticker'") == 10


async def test_a_row_that_is_being_changed_does_not_hold_up_the_others(store: Store) -> None:
    """One slow transaction of one user must not keep a million greetings waiting."""
    ids = await store.due(10)
    async with store.database.transaction() as connection:
        await connection.execute("select from messages where id = $1 for update", ids[0])

        assert await claim_due(store) == ids[1:]

    assert await claim_due(store) == ids[:1]


async def test_what_is_due_is_decided_by_the_business_clock(store: Store, clock: Clock) -> None:
    """The clock of the database moves, and with it, and with nothing else, what is due."""
    ids = await store.due(3, ago=timedelta(hours=-2))
    assert await claim_due(store) == []

    await clock.advance(timedelta(hours=3))

    assert await claim_due(store) == ids


async def test_a_queued_message_that_is_not_due_any_more_is_not_sent(store: Store, clock: Clock) -> None:
    """It was queued while the clock was wrong: what is in the queue does not make it nine o'clock."""
    ids = await store.queued(3)
    await clock.advance(timedelta(hours=-3))

    early = await store.messages.claim_for_sending(ids, incarnation=1)
    await clock.advance(timedelta(hours=3))

    assert early == []
    assert {one.claim.id for one in await store.messages.claim_for_sending(ids, incarnation=1)} == set(ids)


async def test_a_message_is_expired_only_when_it_is_later_than_the_limit(store: Store) -> None:
    """In the same pass that queues the others; expired is an end that people see, with its reason."""
    (late,) = await store.due(1, ago=LATE_LIMIT + timedelta(minutes=1))
    (in_time,) = await store.due(1, ago=LATE_LIMIT - timedelta(minutes=1))

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)

    assert (due.queued, [one.id for one in due.expired]) == ((in_time,), [late])
    (row,) = await store.fetch("select reason, ended_at is not null as ended from messages where id = $1", late)
    assert row["ended"]
    assert row["reason"].startswith("too late to send")


async def test_a_redriven_message_that_was_moved_since_is_late_by_its_new_instant(store: Store, clock: Clock) -> None:
    """Redriven in spring, moved to autumn by its user: in autumn it is on time."""
    (message,) = await store.due(1, ago=timedelta(hours=49))
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    await store.messages.redrive([message])
    (row,) = await store.fetch("select user_id, local_year from messages")
    in_a_week = await clock.now() + timedelta(days=7)

    def edit(user: User) -> Profile:
        return user.profile

    wanted = [Wanted("birthday", row["local_year"], in_a_week)]
    await store.users.change(row["user_id"], edit, lambda *_: wanted, version=None)
    await clock.advance(timedelta(days=7, minutes=1))

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)

    assert (due.queued, due.expired) == ((message,), ())


async def test_a_claim_reads_the_person_as_they_are_now(store: Store) -> None:
    """A name corrected at 08:59 is the name in the greeting."""
    (message,) = await store.queued(1)
    await store.fetch("update users set first_name = 'Grace', last_name = 'Hopper', email = 'grace@example.com'")
    await store.fetch("update occasions set template = 'Hello {full_name}' where code = 'birthday'")

    (claimed,) = await store.messages.claim_for_sending([message], incarnation=7)

    assert (claimed.first_name, claimed.last_name, claimed.email) == ("Grace", "Hopper", "grace@example.com")
    assert claimed.template == "Hello {full_name}"
    assert (claimed.claim.attempt, claimed.claim.incarnation, claimed.attempts_spent) == (1, 7, 1)


async def test_nobody_is_greeted_who_was_deleted(store: Store) -> None:
    """Not even where a row was left queued by mistake."""
    ids = await store.queued(2)
    await store.fetch("update users set deleted_at = business_now()")

    assert await store.messages.claim_for_sending(ids, incarnation=1) == []


async def test_ids_that_are_not_there_are_nobodys(store: Store) -> None:
    """A queue may hold what a restored database has not."""
    assert await store.messages.claim_for_sending([UUID(int=7)], incarnation=1) == []
    assert await store.messages.claim_for_sending([], incarnation=1) == []


async def test_a_redrive_gives_a_fresh_budget_of_attempts(store: Store) -> None:
    """A person has mended what was wrong: the attempts that failed before do not count."""
    (message,) = await store.queued(1)
    (claimed,) = await store.messages.claim_for_sending([message], incarnation=1)
    refused = Answer(Outcome.REFUSED, 0.1, 422)
    await store.messages.record([Result(claimed.claim, Status.FAILED, refused, began=0.0)], at=0.1)
    await store.messages.buried([message])

    assert await store.messages.redrive([message, message]) == [message]
    assert await store.messages.redrive([message]) == []

    assert await claim_due(store) == [message]
    (again,) = await store.messages.claim_for_sending([message], incarnation=1)
    assert (again.claim.attempt, again.attempts_spent) == (2, 1)


async def test_a_redrive_after_the_clock_has_jumped_back_is_not_early(store: Store, clock: Clock) -> None:
    """The schema refuses a due instant before the greeting's: the redrive must ask for the greeting's."""
    (message,) = await store.due(1, ago=timedelta(hours=49))
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    await clock.advance(timedelta(hours=-50))

    assert await store.messages.redrive([message]) == [message]

    assert await claim_due(store) == []
    assert await store.database.value("select due_at = send_at from messages")


async def test_the_pulse_tells_the_time_and_what_is_due_next(store: Store, clock: Clock) -> None:
    """The ticker sleeps until then, by that clock."""
    empty = await store.messages.pulse()
    await store.due(3, ago=timedelta(hours=-1))
    await clock.rate(60)

    pulse = await store.messages.pulse()

    assert (empty.next_due, empty.rate) == (None, 1.0)
    assert pulse.rate == 60.0
    assert pulse.next_due is not None
    assert timedelta(minutes=50) < pulse.next_due - pulse.now < timedelta(hours=1)
    assert pulse.real_now - empty.real_now < timedelta(minutes=1)


async def test_what_is_on_its_way_is_counted_no_further_than_asked(store: Store) -> None:
    """Back-pressure asks whether there is much, not how much: the answer must not cost more for a million."""
    await store.queued(20)

    assert await store.messages.outstanding(50) == 20
    assert await store.messages.outstanding(7) == 7


async def test_the_figures_of_the_open_are_those_of_the_rows(store: Store) -> None:
    """The gauges that people watch in an outage."""
    assert await store.messages.oldest_due_age() == 0.0
    ids = await store.queued(6)
    await store.messages.claim_for_sending(ids[:2], incarnation=1)
    await store.due(3, ago=timedelta(minutes=5))

    counts = await store.messages.open_by_status()

    assert counts == {Status.QUEUED: 4, Status.SENDING: 2, Status.SCHEDULED: 3}
    assert 300 < await store.messages.oldest_due_age() < 330


async def test_a_message_that_is_tried_again_and_again_has_been_due_since_its_instant(store: Store) -> None:
    """One that the service has rejected for an hour would look as if nothing were late, and nobody be called."""
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


async def test_a_message_that_is_redriven_is_due_since_then(store: Store) -> None:
    """It was given up before, and counted; what a person sends again is not late by days."""
    await store.due(1, ago=timedelta(hours=1))
    await store.fetch("update messages set status = 'expired', ended_at = business_now()")
    (row,) = await store.fetch("select id from messages")
    await store.messages.redrive([row["id"]])
    await store.fetch(
        "update messages set status = 'retrying', attempt = 1, due_at = business_now() + interval '5 minutes'"
    )

    assert await store.messages.oldest_due_age() < 30
