"""A row that PostgreSQL cannot change stops no other: it is set aside with a reason, and tried again later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.set_aside import SetAsideMessages, run_in_halves
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.messages import Answer, Outcome, Status
from service.domain.planning import TzdataMove
from service.ports import Claim, MessageFilter, Result, SetAside
from service.redrive import redrive_all
from tests.conftest import Clock
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

DEADLINE = 60.0
"""Seconds for a redrive of five messages, which took for ever."""

DAMAGED = """
create table damaged (id uuid primary key);
create function refuse_damaged() returns trigger language plpgsql as $$
begin
    if exists (select from damaged d where d.id = old.id) then
        raise exception 'this row is damaged';
    end if;
    return new;
end $$;
create trigger refuse_damaged before update on messages for each row execute function refuse_damaged();
"""


class Damage:
    """Rows that no statement can change, and the messages that each statement set aside."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.told: list[SetAside] = []
        store.messages = PostgresMessages(store.database, self.told.append)

    async def at(self, message: UUID) -> None:
        await self.store.fetch("insert into damaged values ($1)", message)

    async def repaired(self) -> None:
        await self.store.fetch("delete from damaged")


@pytest.fixture
async def damage(store: Store) -> Damage:
    connection = await asyncpg.connect(store.dsn)
    await connection.execute(DAMAGED)
    await connection.close()
    return Damage(store)


async def claim_due(store: Store) -> list[UUID]:
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=500, late_limit=LATE_LIMIT)
    return list(due.queued)


def accepted(ids: Sequence[UUID], year: int) -> list[Result]:
    answer = Answer(Outcome.ACCEPTED, 0.1)
    return [Result(Claim(one, year, 1, 1), Status.SENT, answer, began=0.0) for one in ids]


async def year_of(store: Store) -> int:
    return int(await store.database.value("select extract(year from business_now())::integer"))


async def test_a_claim_takes_all_messages_but_the_damaged_one(damage: Damage) -> None:
    """They come in the order in which they are due, although they were claimed in parts."""
    ids = await damage.store.due(100)
    await damage.at(ids[41])

    assert await claim_due(damage.store) == [one for one in ids if one != ids[41]]

    (aside,) = damage.told
    assert (aside.id, aside.action, aside.reason, aside.failures) == (ids[41], "claim_due", "this row is damaged", 1)
    assert aside.look_again_at - aside.since == timedelta(minutes=1)
    assert await damage.store.messages.set_aside(10) == [aside]


async def test_a_damaged_message_is_left_out_until_its_next_look(damage: Damage, clock: Clock) -> None:
    """The ticker does not wake for it before that. Each further failure doubles the wait."""
    (damaged,) = await damage.store.due(1)
    await damage.at(damaged)
    assert await claim_due(damage.store) == []

    assert (await damage.store.messages.read_clock(next_due=True)).next_due is None
    assert await claim_due(damage.store) == []
    assert len(damage.told) == 1

    await clock.advance(timedelta(minutes=1, seconds=1))
    assert (await damage.store.messages.read_clock(next_due=True)).next_due is not None
    before = await clock.now()
    assert await claim_due(damage.store) == []
    again = damage.told[-1]
    assert again.failures == 2
    assert before <= again.look_again_at - timedelta(minutes=2) <= await clock.now()


async def test_failures_of_several_hops_at_one_damage_wait_as_long_as_one(damage: Damage) -> None:
    """With a bundle under way, the release and then the record fail, too."""
    (damaged,) = await damage.store.due(1)
    await damage.at(damaged)
    assert await claim_due(damage.store) == []
    aside = SetAsideMessages(damage.store.database)

    for action in ("release_claims", "requeue", "record"):
        await aside.add(action, damaged, asyncpg.RaiseError("this row is damaged"))

    (kept,) = await damage.store.messages.set_aside(10)
    assert (kept.action, kept.failures) == ("record", 1)
    assert kept.look_again_at == damage.told[0].look_again_at


async def test_a_repaired_message_is_claimed_at_its_next_look_and_forgotten_later(damage: Damage, clock: Clock) -> None:
    """The operator only has to repair the row."""
    (damaged,) = await damage.store.due(1)
    await damage.at(damaged)
    assert await claim_due(damage.store) == []
    await damage.repaired()
    await clock.advance(timedelta(minutes=1, seconds=1))

    assert await claim_due(damage.store) == [damaged]

    assert await damage.store.messages.forget_repaired() == 0
    await clock.advance(timedelta(hours=3))
    assert await damage.store.messages.forget_repaired() == 1
    assert await damage.store.messages.set_aside(10) == []


async def test_outcomes_are_recorded_but_for_the_damaged_one_whose_attempt_is_kept(damage: Damage) -> None:
    """The answer of the email service must not be lost. Recovery finds the attempt when the row is repaired."""
    store = damage.store
    ids = await store.queued(100)
    await store.messages.claim_for_sending(ids, incarnation=1)
    await damage.at(ids[7])

    recorded = await store.messages.record(accepted(ids, await year_of(store)), at=1.0)

    assert {one.id for one in recorded} == set(ids) - {ids[7]}
    assert [one.action for one in damage.told] == ["record"]
    attempts = await store.fetch("select outcome from attempts where message_id = $1", ids[7])
    assert [row["outcome"] for row in attempts] == ["accepted"]

    await damage.repaired()
    await store.fetch("update set_aside set look_again_at = business_now()")
    (freed,) = await store.messages.release_claims(hold=True)  # incarnation 1 has no row: it has ended
    assert (freed.id, freed.status) == (ids[7], Status.SENT)


async def test_a_claim_for_sending_takes_all_but_the_damaged_one(damage: Damage) -> None:
    """The other messages of its bundle are sent."""
    ids = await damage.store.queued(50)
    await damage.at(ids[49])

    claimed = await damage.store.messages.claim_for_sending(ids, incarnation=1)

    assert {one.claim.id for one in claimed} == set(ids[:49])
    assert [one.action for one in damage.told] == ["claim_for_sending"]


async def queued_rows(store: Store) -> list[UUID]:
    return await store.queued(10)


async def sending_rows(store: Store) -> list[UUID]:
    ids = await store.queued(10)
    await store.messages.claim_for_sending(ids, incarnation=1)
    return ids


async def failed_rows(store: Store) -> list[UUID]:
    ids = await sending_rows(store)
    year = await year_of(store)
    answer = Answer(Outcome.PERMANENT_FAILURE, 0.1)
    results = [Result(Claim(one, year, 1, 1), Status.FAILED, answer, began=0.0) for one in ids]
    await store.messages.record(results, at=1.0)
    return ids


async def requeue(store: Store, ids: list[UUID]) -> int:
    return await store.messages.requeue(ids, incarnation=1)


async def requeue_claim(store: Store, _ids: list[UUID]) -> int:
    return await store.messages.requeue_claim(incarnation=1)


async def requeue_lost(store: Store, _ids: list[UUID]) -> int:
    return await store.messages.requeue_lost(queued_for=timedelta(0))


async def release_claims(store: Store, _ids: list[UUID]) -> int:
    return len(await store.messages.release_claims(hold=False))


async def release_stuck(store: Store, ids: list[UUID]) -> int:
    return len(await store.messages.release_claims([(one, 1) for one in ids], hold=False))


async def redrive(store: Store, ids: list[UUID]) -> int:
    return len(await store.messages.redrive(ids, by=OPERATOR))


async def mark_dead_lettered(store: Store, ids: list[UUID]) -> int:
    await store.messages.mark_dead_lettered(ids)
    return len(ids) - len(await store.fetch("select from messages where dead_lettered_at is null"))


@pytest.mark.parametrize(
    ("prepare", "move"),
    [
        (queued_rows, requeue),
        (queued_rows, requeue_claim),
        (queued_rows, requeue_lost),
        (sending_rows, release_claims),
        (sending_rows, release_stuck),
        (failed_rows, redrive),
        (failed_rows, mark_dead_lettered),
    ],
)
async def test_each_move_of_many_messages_moves_all_but_the_damaged_one(
    damage: Damage,
    prepare: Callable[[Store], Awaitable[list[UUID]]],
    move: Callable[[Store, list[UUID]], Awaitable[int]],
) -> None:
    """Recovery and redrives meet damaged rows, too."""
    ids = await prepare(damage.store)
    await damage.at(ids[3])

    assert await move(damage.store, ids) == 9

    assert [one.id for one in damage.told] == [ids[3]]


async def test_a_failed_message_that_is_set_aside_does_not_wait_for_its_dead_letter_now(damage: Damage) -> None:
    """Otherwise recovery would publish a dead letter for it again and again."""
    ids = await failed_rows(damage.store)
    await damage.at(ids[0])
    await damage.store.messages.mark_dead_lettered(ids)

    assert await damage.store.messages.awaiting_dead_letter() == []


async def test_a_statement_with_a_mistake_sets_no_message_aside(damage: Damage) -> None:
    """Otherwise a bug in a statement would delay every message instead of being found."""
    ids = await damage.store.due(4)
    connection = await asyncpg.connect(damage.store.dsn)
    await connection.execute(
        "create or replace function refuse_damaged() returns trigger language plpgsql as"
        " $$ begin perform no_such_function(); return new; end $$"
    )
    await connection.close()

    with pytest.raises(Exception, match="no_such_function"):
        await claim_due(damage.store)

    assert damage.told == []
    assert set(await damage.store.statuses()) == set(ids)


async def test_halves_cost_the_logarithm_of_the_batch() -> None:
    """For one damaged row among 4,096, 25 statements run."""
    runs: list[int] = []
    failed: list[int] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        runs.append(len(items))
        if 1234 in items:
            raise asyncpg.RaiseError("1234 is damaged")
        return items

    async def on_failed(item: int, _error: Exception) -> None:
        failed.append(item)

    moved = await run_in_halves(range(4096), run, on_failed)

    assert moved == [item for item in range(4096) if item != 1234]
    assert failed == [1234]
    assert len(runs) == 25


async def test_an_error_of_the_fencing_token_sets_no_message_aside(damage: Damage) -> None:
    """It is not about a message. Otherwise a whole wave would be set aside, one message after the other."""
    await damage.store.due(3)
    connection = await asyncpg.connect(damage.store.dsn)
    await connection.execute("alter table fencing_tokens add constraint bug check (token < 0) not valid")
    await connection.close()

    with pytest.raises(asyncpg.CheckViolationError):
        await claim_due(damage.store)

    assert damage.told == []


async def test_a_redrive_passes_by_messages_that_cannot_move(damage: Damage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page begins after the one before, so the redrive ends, and reaches those behind the damaged ones."""
    monkeypatch.setattr("service.redrive.AT_ONCE", 2)
    store = damage.store
    ids = await store.due(5)
    await store.fetch("update messages set status = 'failed', ended_at = business_now(), attempt = 1")
    for damaged in ids[:2]:
        await damage.at(damaged)

    async with asyncio.timeout(DEADLINE):
        redriven = await redrive_all(
            store.messages, PostgresHistory(store.database), MessageFilter(statuses=(Status.FAILED,)), by=OPERATOR
        )

    assert redriven == 3
    assert {one for one, status in (await store.statuses()).items() if status == "failed"} == set(ids[:2])


async def test_a_user_for_whom_no_message_can_be_made_keeps_no_other_from_being_planned(store: Store) -> None:
    """The range is halved down to that user, whose part is planned again after the repair."""
    told: list[SetAside] = []
    planning = PostgresPlanning(store.database, on_set_aside=told.append)
    at = datetime.now(UTC) + timedelta(hours=1)
    users = [
        row["id"]
        for row in await store.fetch(
            "insert into users (first_name, email, email_key, timezone, created_at, last_name)"
            " select 'Ada', k, k, 'UTC', business_now() - interval '9 days', 'Smith'"
            " from (select n || '@example.com' as k from generate_series(1, 20) n) t returning id"
        )
    ]
    await store.fetch(
        "insert into occasion_dates (user_id, occasion, date) select unnest($1::uuid[]), 'birthday', $2",
        users,
        at.date().replace(year=2000),
    )
    connection = await asyncpg.connect(store.dsn)
    await connection.execute(
        f"""
        create function refuse() returns trigger language plpgsql as $$
        begin
            if new.user_id = '{users[13]}' then raise exception 'this user is damaged'; end if;
            return new;
        end $$;
        create trigger refuse before insert on messages for each row execute function refuse()
        """
    )
    await store.fetch("select ensure_year($1)", at.year)
    (range_id,) = await store.fetch(
        "insert into plan_ranges (occasion, local_year, month_day, starts_at, ends_at)"
        " select 'birthday', $1, $2, $3::timestamptz - interval '2 days', $3::timestamptz + interval '2 days'"
        " returning id",
        at.year,
        at.month * 100 + at.day,
        at,
    )
    rules = await planning.rules()

    assert await planning.plan(range_id["id"], rules, tzdata="test") == 19

    assert [(one.id, one.subject, one.action) for one in told] == [(users[13], "user", "plan_range")]
    (left,) = await planning.open_ranges(older_than=0, limit=10)
    await connection.execute("drop trigger refuse on messages")
    assert await planning.plan(left, rules, tzdata="test") == 1
    assert await planning.open_ranges(older_than=0, limit=10) == []
    await connection.close()


async def test_a_damaged_row_does_not_hold_up_its_occasion_when_the_rules_change(damage: Damage) -> None:
    """Its message cannot move to the new instant, and recovery tries again for as long as it is damaged."""
    store, now = damage.store, datetime.now(UTC)
    # A day of this local year, also on its last day.
    at = now + timedelta(days=-1 if (now.month, now.day) == (12, 31) else 1)
    (damaged,) = await store.due(1)
    await damage.at(damaged)
    await store.fetch(
        "insert into occasion_dates (user_id, occasion, date) select user_id, occasion, $1 from messages",
        at.date().replace(year=2000),
    )
    await store.fetch(
        "insert into plan_ranges (occasion, local_year, month_day, starts_at, ends_at, replans)"
        " select occasion, local_year, $1, $2, $2::timestamptz + interval '2 days', true from messages",
        at.month * 100 + at.day,
        at - timedelta(days=2),
    )
    (other,) = await store.due(1)
    assert await claim_due(store) == []

    (left,) = await store.planning.open_ranges(older_than=0, limit=10)
    assert await store.planning.plan(left, await store.planning.rules(), tzdata="test") == 0

    assert await store.planning.open_ranges(older_than=30, limit=10) == [left]
    assert await claim_due(store) == [other]


async def test_rows_beside_a_damaged_one_follow_zone_data_with_the_same_deadline(damage: Damage) -> None:
    """A large backlog takes longer than other statements may. Cancelled, it would be tried again for ever."""
    store = damage.store
    damaged, other = await store.due(2)
    await damage.at(damaged)
    await store.fetch(
        "insert into occasion_dates (user_id, occasion, date) select user_id, occasion, '1990-05-02' from messages"
    )
    connection = await asyncpg.connect(store.dsn)
    await connection.execute(
        """
        create function note_timeout() returns trigger language plpgsql as $$
        begin
            new.status_reason = current_setting('statement_timeout');
            return new;
        end $$;
        create trigger note_timeout before update on messages for each row execute function note_timeout()
        """
    )
    await connection.close()
    zone_data = PostgresZoneData(store.database, release="2099a", on_set_aside=damage.told.append)
    moves = [TzdataMove(one, one.send_at + timedelta(hours=1)) for one in await zone_data.unsent()]
    now = datetime.now(UTC)

    await zone_data.follow(moves, days=[], starts_at=now, ends_at=now, read=await zone_data.followed())

    assert [one.id for one in damage.told] == [damaged]
    rows = await store.fetch("select id, status_reason from messages where tzdata = '2099a'")
    assert [(row["id"], row["status_reason"]) for row in rows] == [(other, "5min")]


async def test_a_repaired_row_does_not_wait_for_a_clock_that_was_set_back(damage: Damage, clock: Clock) -> None:
    """The instant of its next look was computed by the clock before, which may have been a day ahead."""
    store = damage.store
    (damaged,) = await store.due(1, ago=timedelta(hours=2))
    await damage.at(damaged)
    assert await claim_due(store) == []
    await damage.repaired()

    await clock.advance(timedelta(hours=-1))

    assert (await store.messages.read_clock(next_due=True)).next_due is not None
    assert await claim_due(store) == [damaged]
