"""Tests that outcomes are recorded once, in batches, and move only their own messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from service.adapters.postgres.messages import PostgresMessages
from service.domain.messages import Answer, Outcome, Status
from service.ports import Claim, Claimed, Result
from tests.conftest import Clock
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

ACCEPTED = Answer(Outcome.ACCEPTED, 0.1, 200)
REJECTED = Answer(Outcome.TRANSIENT_FAILURE, 0.2, 503, "unavailable")


async def sending(store: Store, count: int = 1, *, incarnation: int = 1) -> list[Claimed]:
    """Make this many claimed messages, in the order of their instants."""
    claimed = await store.messages.claim_for_sending(await store.queued(count), incarnation=incarnation)
    return sorted(claimed, key=lambda one: one.send_at)


async def claimed_again(store: Store, ids: Sequence[UUID], *, incarnation: int = 1) -> list[Claimed]:
    """Return the same messages with a new claim, after the first was released."""
    await store.messages.release_claims([(message, 1) for message in ids], hold=False)
    await store.messages.claim_due(fence=1, incarnation=1, limit=99, late_limit=LATE_LIMIT)
    return await store.messages.claim_for_sending(ids, incarnation=incarnation)


async def in_state(store: Store, message: UUID, status: str) -> None:
    """Put a message with a released claim into the state that it may have when its answer is recorded."""
    await store.fetch(
        """
        update messages set status = $2, claimed_by = null, queued_at = business_now(), queued_by = 1,
            ended_at = case when $2 in ('failed', 'unknown', 'expired', 'cancelled') then business_now() end
        where id = $1
        """,
        message,
        status,
    )


@pytest.mark.parametrize("status", ["scheduled", "queued", "retrying", "failed", "unknown", "expired", "cancelled"])
async def test_an_acceptance_that_is_recorded_late_settles_the_message_wherever_it_is(
    store: Store, status: str
) -> None:
    """Otherwise an operator must decide, or a call is repeated, although the outcome is known."""
    (claimed,) = await sending(store)
    await in_state(store, claimed.claim.id, status)
    result = Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)

    moved = await asyncio.gather(*(store.messages.record([result], at=1.0) for _ in range(5)))

    assert [one.status for part in moved for one in part] == [Status.SENT]
    (row,) = await store.fetch("select status, attempt, ended_at, reschedule_to, status_reason from messages")
    assert (row["status"], row["attempt"], row["reschedule_to"]) == ("sent", 1, None)
    assert row["status_reason"] == "accepted: the answer was recorded late"


@pytest.mark.parametrize("status", ["scheduled", "queued", "retrying", "failed", "unknown", "expired", "cancelled"])
async def test_what_was_not_accepted_moves_nothing_when_it_is_recorded_late(store: Store, status: str) -> None:
    """Only an acceptance ends the message."""
    (claimed,) = await sending(store)
    await in_state(store, claimed.claim.id, status)

    for late in (
        Result(claimed.claim, Status.RETRYING, REJECTED, 0.0),
        Result(claimed.claim, Status.RETRYING, None, 0),
    ):
        assert await store.messages.record([late], at=1.0) == []

    assert await store.statuses() == {claimed.claim.id: status}


async def test_what_was_cancelled_with_its_user_stays_so_though_it_was_accepted(store: Store) -> None:
    """It is not sent again, and the attempt is recorded."""
    (claimed,) = await sending(store)
    await in_state(store, claimed.claim.id, "cancelled")
    await store.fetch("update users set deleted_at = business_now()")

    assert await store.messages.record([Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)], at=1.0) == []

    assert await store.statuses() == {claimed.claim.id: "cancelled"}


async def test_an_acceptance_from_before_a_backup_was_restored_settles_the_message(
    store: Store,
) -> None:
    """The backup has no attempt, but a sent message must have one."""
    (claimed,) = await sending(store)
    await store.fetch("update messages set status = 'scheduled', claimed_by = null, attempt = 0")

    (moved,) = await store.messages.record([Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)], at=1.0)

    assert moved.status is Status.SENT
    assert await store.database.value("select attempt from messages") == 1


@pytest.mark.parametrize("how", ["rejected", "unknown", "not made", "its node died", "its node died, policy hold"])
async def test_what_another_node_is_sending_is_left_to_it_and_settled_by_its_end(store: Store, how: str) -> None:
    """Its outcome moves the row, and the statement finds the earlier acceptance."""
    (first,) = await sending(store)
    (second,) = await claimed_again(store, [first.claim.id], incarnation=2)
    assert await store.messages.record([Result(first.claim, Status.SENT, ACCEPTED, began=0.0)], at=1.0) == []
    assert await store.statuses() == {first.claim.id: "sending"}
    results = {
        "rejected": Result(second.claim, Status.RETRYING, REJECTED, began=0.0),
        "unknown": Result(second.claim, Status.UNKNOWN, Answer(Outcome.UNKNOWN, 9.0), began=0.0),
        "not made": Result(second.claim, Status.RETRYING, None, began=0.0),
    }

    if how in results:
        (moved,) = await store.messages.record([results[how]], at=1.0)
        assert moved.status is Status.SENT
    else:
        freed = await store.messages.release_claims([(first.claim.id, 2)], hold="hold" in how)
        assert [(one.status, one.occasion, one.attempt) for one in freed] == [(Status.SENT, "birthday", 2)]

    (row,) = await store.fetch("select status, status_reason from messages")
    assert tuple(row) == ("sent", "accepted by an earlier attempt")


@pytest.mark.parametrize(
    "wrong", [{"attempt": 2}, {"incarnation": 2}, {"token": 2}, {"local_year": -1}, {"id": UUID(int=1)}]
)
async def test_a_result_of_another_claim_moves_nothing(store: Store, wrong: dict[str, object]) -> None:
    """Every part of a claim must match."""
    (claimed,) = await sending(store)
    if "local_year" in wrong:
        wrong = {"local_year": claimed.claim.local_year - 1}
    other: Claim = replace(claimed.claim, **wrong)  # type: ignore[arg-type]  # the values fit their names

    assert await store.messages.record([Result(other, Status.SENT, ACCEPTED, began=0.0)], at=1.0) == []

    assert await store.statuses() == {claimed.claim.id: "sending"}
    (kept,) = await store.fetch("select * from attempts")
    assert (kept["message_id"], kept["number"], kept["incarnation"]) == (other.id, other.attempt, other.incarnation)


@pytest.mark.parametrize("late_first", [False, True])
async def test_an_acceptance_in_the_batch_of_another_attempt_decides(store: Store, late_first: bool) -> None:
    """A node that lost a message and claimed it again may get both outcomes at once."""
    (first,) = await sending(store)
    (second,) = await claimed_again(store, [first.claim.id])
    results = [
        Result(first.claim, Status.SENT, ACCEPTED, began=0.0),
        Result(second.claim, Status.RETRYING, REJECTED, began=0.5, delay=timedelta(minutes=1)),
    ]

    (moved,) = await store.messages.record(results if late_first else results[::-1], at=1.0)

    assert (moved.id, moved.status) == (second.claim.id, Status.SENT)
    assert await store.statuses() == {second.claim.id: "sent"}
    rows = await store.fetch("select number, outcome from attempts order by number, outcome")
    assert [tuple(row) for row in rows] == [(1, "accepted"), (1, "unknown"), (2, "transient_failure")]


async def test_the_same_result_many_times_is_one_result(store: Store) -> None:
    """A record whose answer was lost is repeated."""
    (claimed,) = await sending(store)
    result = Result(claimed.claim, Status.SENT, ACCEPTED, began=0.0)

    moved = await asyncio.gather(*(store.messages.record([result, result], at=1.0) for _ in range(10)))

    assert sum(len(part) for part in moved) == 1
    assert await store.database.value("select count(*) from attempts") == 1


async def test_a_repeated_record_of_an_attempt_that_was_not_made_leaves_the_next_claim_alone(store: Store) -> None:
    """The next claim of the same node has the same number. Freed during its call, the message would be sent twice."""
    (message,) = await store.queued(1)
    (first,) = await store.messages.claim_for_sending([message], incarnation=1, token=11)
    not_made = Result(first.claim, Status.RETRYING, None, began=0.0)
    await store.messages.record([not_made], at=0.0)  # its answer is lost
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    (second,) = await store.messages.claim_for_sending([message], incarnation=1, token=12)

    assert await store.messages.record([not_made], at=1.0) == []

    assert second.claim.attempt == first.claim.attempt
    assert await store.statuses() == {message: "sending"}
    unknown = Result(second.claim, Status.RETRYING, Answer(Outcome.UNKNOWN, 9.0), began=0.0)
    (moved,) = await store.messages.record([not_made, unknown], at=9.0)
    assert moved.status is Status.RETRYING
    assert await store.database.value("select attempt from messages") == 1


async def test_five_hundred_outcomes_are_written_at_once(store: Store) -> None:
    """One statement writes the batch, and each message gets its own outcome."""
    claimed = await sending(store, 500)
    results = [
        Result(one.claim, status, answer, began=0.0, delay=timedelta(seconds=60))
        for one, (status, answer) in zip(
            claimed,
            [
                (Status.SENT, ACCEPTED),
                (Status.RETRYING, REJECTED),
                (Status.FAILED, Answer(Outcome.PERMANENT_FAILURE, 0.0, 400)),
                (Status.UNKNOWN, Answer(Outcome.UNKNOWN, 9.0)),
                (Status.RETRYING, None),
            ]
            * 100,
            strict=True,
        )
    ]

    moved = await store.messages.record(results, at=1.0)

    assert {one.id: one.status for one in moved} == {one.claim.id: one.status for one in results}
    assert await store.statuses() == {one.claim.id: str(one.status) for one in results}
    rows = await store.fetch("select message_id, outcome from attempts")
    assert {row["message_id"]: row["outcome"] for row in rows} == {
        one.claim.id: str(one.answer.outcome) for one in results if one.answer
    }


async def test_batches_that_overlap_are_recorded_without_deadlock(store: Store) -> None:
    """Rows are locked in one order, not in the order of the results."""
    results = [Result(one.claim, Status.SENT, ACCEPTED, began=0.0) for one in await sending(store, 200)]

    moved = await asyncio.gather(
        *(store.messages.record(part, at=1.0) for part in [results, results[::-1], results[50:], results[:150]] * 3)
    )

    assert sorted(one.id for part in moved for one in part) == sorted(one.claim.id for one in results)


async def test_an_empty_batch_is_nothing(store: Store) -> None:
    """The result writer may have no results."""
    assert await store.messages.record([], at=1.0) == []


async def test_an_attempt_not_made_gives_back_only_itself(store: Store) -> None:
    """Earlier attempts stay spent."""
    (first,) = await sending(store)
    (second,) = await claimed_again(store, [first.claim.id])
    assert second.history.made == 1

    await store.messages.record([Result(second.claim, Status.RETRYING, None, began=0.0)], at=0.0)

    (third,) = await claimed_again(store, [first.claim.id])
    assert third.history.made == 1


async def test_lateness_is_the_begin_of_the_attempt_after_the_instant(store: Store) -> None:
    """It measures the delay of the greeting, not the duration of the call."""
    (claimed,) = await sending(store)

    (recorded,) = await store.messages.record([Result(claimed.claim, Status.SENT, ACCEPTED, began=70.0)], at=100.0)

    assert 30.0 <= recorded.lateness < 40.0  # due a minute ago, begun half a minute ago
    attempt = "select extract(epoch from business_now() - started_at)::float as ago, duration from attempts"
    (row,) = await store.fetch(attempt)
    assert 30.0 <= row["ago"] < 40.0
    assert row["duration"] == 0.1


async def test_an_attempt_begins_no_later_because_its_record_waits_for_a_connection(store: Store) -> None:
    """A busy pool would look like a late greeting, and a fault of the email service like one of a later time."""
    (claimed,) = await sending(store)
    share = store.database.share(1)
    result = Result(claimed.claim, Status.SENT, ACCEPTED, began=70.0)

    async def waits() -> bool:
        return store.database.state.waiting == 1

    async with share.connection() as connection:
        recording = asyncio.create_task(PostgresMessages(share).record([result], at=100.0))
        await eventually(waits)
        await connection.execute("select pg_sleep(1)")
    await recording

    ago = await store.database.value("select extract(epoch from business_now() - started_at)::float from attempts")
    assert ago >= 31.0


async def test_an_attempt_begins_no_later_because_another_of_its_batch_is_set_aside(store: Store) -> None:
    """The halves of a batch are written one after another, and share one reading of the caller's clock."""
    claims = await sending(store, 2)
    broken, whole = (one.claim.id for one in claims)
    await store.fetch(
        """
        create function refuse() returns trigger language plpgsql as
            $$ begin perform pg_sleep(1); raise 'refused'; end $$;
        """
    )
    await store.fetch(
        f"""
        create trigger refuse before update on messages for each row when (old.id = '{broken}')
        execute function refuse()
        """
    )

    await store.messages.record([Result(one.claim, Status.SENT, ACCEPTED, began=70.0) for one in claims], at=100.0)

    ago = "select extract(epoch from business_now() - started_at)::float from attempts where message_id = $1"
    assert await store.database.value(ago, whole) >= 32.0  # the whole batch was refused, then the half
    assert await store.database.value(ago, broken) >= 32.0


async def test_a_retry_after_the_clock_has_jumped_back_is_not_early(store: Store, clock: Clock) -> None:
    """A batch that the schema refuses would be repeated for ever."""
    (claimed,) = await sending(store)
    await clock.advance(timedelta(hours=-1))

    (moved,) = await store.messages.record([Result(claimed.claim, Status.RETRYING, REJECTED, began=0.0)], at=1.0)

    assert moved.status is Status.RETRYING
    assert await store.database.value("select due_at = send_at from messages")


async def test_a_claim_freed_after_the_clock_has_jumped_back_is_not_early(store: Store, clock: Clock) -> None:
    """Recovery must be able to release it."""
    (claimed,) = await sending(store)
    await clock.advance(timedelta(hours=-1))

    assert len(await store.messages.release_claims([(claimed.claim.id, 1)], hold=False)) == 1

    assert await store.database.value("select due_at = send_at from messages")


async def test_a_claim_that_is_freed_while_its_acceptance_is_recorded_ends_sent(store: Store) -> None:
    """A node that was declared dead returns at that moment. In any order the message ends as `sent`."""
    claims = await sending(store, 100)
    results = [Result(one.claim, Status.SENT, ACCEPTED, began=0.0) for one in claims]

    moved, _ = await asyncio.gather(
        store.messages.record(results, at=1.0),
        asyncio.gather(*(store.messages.release_claims(hold=False) for _ in range(3))),
    )

    assert sorted(one.id for one in moved) == sorted(one.claim.id for one in claims)
    assert set((await store.statuses()).values()) == {"sent"}


async def test_stuck_claims_of_a_living_node_are_freed_by_name_only(store: Store) -> None:
    """A healthy node may lose one attempt."""
    living = await store.nodes.enter("living")
    stuck, well = await sending(store, 2, incarnation=living)

    assert len(await store.messages.release_claims([(stuck.claim.id, 1)], hold=False)) == 1

    assert await store.statuses() == {stuck.claim.id: "retrying", well.claim.id: "sending"}
    (attempt,) = await store.fetch("select message_id, number, outcome, incarnation from attempts")
    assert tuple(attempt) == (stuck.claim.id, 1, "unknown", living)


async def test_how_long_a_message_is_being_sent_is_told_in_real_seconds(store: Store, clock: Clock) -> None:
    """The duration of an attempt does not depend on the rate of the business clock."""
    (claimed,) = await sending(store)
    await clock.rate(1000)
    await store.fetch("update messages set claimed_at = business_now() - interval '50000 seconds'")

    assert await store.messages.sending_for(45) == {(claimed.claim.id, 1)}
    assert await store.messages.sending_for(600) == set()


async def test_requeue_undoes_only_own_claims(store: Store) -> None:
    """The ticker could not reach the stream. Claims of others are on their way."""
    mine = await store.queued(2, incarnation=7)
    others = await store.queued(2, incarnation=8)

    assert await store.messages.requeue([*mine, *others], incarnation=7) == 2

    assert await store.statuses() == {**dict.fromkeys(mine, "scheduled"), **dict.fromkeys(others, "queued")}


async def test_a_failed_message_is_dead_lettered_once_and_again_after_a_redrive(store: Store) -> None:
    """Every failure leaves one copy among the dead letters."""
    (claimed,) = await sending(store)
    message = claimed.claim.id
    failed = Answer(Outcome.PERMANENT_FAILURE, 0.1, 400)
    await store.messages.record([Result(claimed.claim, Status.FAILED, failed, began=0.0)], at=1.0)
    assert await store.messages.awaiting_dead_letter() == [message]

    await store.messages.mark_dead_lettered([message])

    assert await store.messages.awaiting_dead_letter() == []
    await store.messages.redrive([message], by=OPERATOR)
    await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
    (again,) = await store.messages.claim_for_sending([message], incarnation=1)
    await store.messages.record([Result(again.claim, Status.FAILED, failed, began=0.0)], at=1.0)
    assert await store.messages.awaiting_dead_letter() == [message]
