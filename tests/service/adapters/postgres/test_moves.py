"""The SQL statements make exactly the moves that the domain allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from service.adapters.postgres.ledger import opened
from service.adapters.postgres.restored import PostgresRestored
from service.domain.messages import MOVES, Answer, Outcome, Status
from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User
from service.ports import Claim, Result
from tests.edits import edited
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

ONE_OF_EACH = """
with made as (
    insert into users (first_name, last_name, email, email_key, timezone, created_at)
    select 'Ada', n::text, key, key, 'UTC', business_now() - interval '30 days'
    from generate_series(1, 10) n, lateral (select n || uuid_v7()::text as key) k
    returning id, last_name::integer as n
)
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata,
    status, attempt, queued_at, queued_by, claimed_at, claimed_by, ended_at)
select id, 'birthday', extract(year from business_now()), 'UTC', at, at, 'test',
    status, (n <> 10 and status <> 'scheduled')::integer, at, 1, at, case when status = 'sending' then 1 end,
    case when status in ('sent', 'failed', 'cancelled', 'expired', 'unknown') then at end
from made, lateral (select business_now() - interval '1 minute' as at) t,
    lateral (select (array['scheduled', 'queued', 'sending', 'retrying', 'sent', 'failed', 'cancelled', 'expired',
        'unknown', 'queued'])[n] as status) s
returning id, user_id, local_year, status
"""
"""A message in each state, due a minute ago; queued both before the first attempt and after it."""

Rows = list[asyncpg.Record]


def ids(rows: Rows) -> list[UUID]:
    return [row["id"] for row in rows]


def claiming(late_limit: timedelta) -> Callable[[Store, Rows], Awaitable[object]]:
    return lambda store, _rows: store.messages.claim_due(fence=1, incarnation=1, limit=99, late_limit=late_limit)


def recording(status: Status, outcome: Outcome | None) -> Callable[[Store, Rows], Awaitable[object]]:
    answer = None if outcome is None else Answer(outcome, 0.1)

    def record(store: Store, rows: Rows) -> Awaitable[object]:
        claims = [Claim(row["id"], row["local_year"], attempt=1, incarnation=1) for row in rows]
        return store.messages.record([Result(claim, status, answer, began=0.0) for claim in claims], at=1.0)

    return record


def freeing(*, hold: bool) -> Callable[[Store, Rows], Awaitable[object]]:
    return lambda store, rows: store.messages.release_claims([(row["id"], 1) for row in rows], hold=hold)


def moving(by: timedelta | None) -> Callable[[Store, Rows], Awaitable[object]]:
    """Move every user's day by this much from now, or remove it."""

    async def move(store: Store, rows: Rows) -> None:
        def edit(user: User) -> Profile:
            return user.profile

        for row in rows:

            def plan(
                _before: Profile, _after: Profile, now: datetime, year: int = row["local_year"]
            ) -> list[DesiredMessage]:
                return [DesiredMessage("birthday", year, None if by is None else now + by)]

            await edited(store.users, row["user_id"], edit, plan, version=None)

    return move


async def delete(store: Store, rows: Rows) -> None:
    for row in rows:
        await store.users.delete(row["user_id"], version=None, by=OPERATOR)


def to_what_is_sending(
    *statements: Callable[[Store, Rows], Awaitable[object]],
) -> Callable[[Store, Rows], Awaitable[object]]:
    """Make both edits one after the other. The first leaves messages that are being sent unchanged."""

    async def all_of_them(store: Store, rows: Rows) -> None:
        for statement in statements:
            await statement(store, [row for row in rows if row["status"] == Status.SENDING])

    return all_of_them


async def holding(store: Store, rows: Rows) -> None:
    await PostgresRestored(store.database).hold(ids(rows), incarnation=1, reason="restored")


async def settling(store: Store, rows: Rows) -> None:
    await PostgresRestored(store.database).settle(ids(rows), incarnation=1, reason="remembered")


async def mending(store: Store, rows: Rows) -> None:
    async with opened(store.dsn) as ledger:
        await ledger.add([(message, None) for message in ids(rows)])
        await ledger.mend(incarnation=1, reason="in the ledger", by=OPERATOR)


STATEMENTS: dict[str, Callable[[Store, Rows], Awaitable[object]]] = {
    "claim what is due": claiming(LATE_LIMIT),
    "claim what is late": claiming(timedelta(seconds=1)),
    "claim for sending": lambda store, rows: store.messages.claim_for_sending(ids(rows), incarnation=1),
    "record an acceptance": recording(Status.SENT, Outcome.ACCEPTED),
    "record a refusal": recording(Status.FAILED, Outcome.PERMANENT_FAILURE),
    "record a rejection": recording(Status.RETRYING, Outcome.TRANSIENT_FAILURE),
    "record what nobody knows": recording(Status.UNKNOWN, Outcome.UNKNOWN),
    "record no attempt": recording(Status.RETRYING, None),
    "free claims": freeing(hold=False),
    "free claims and hold": freeing(hold=True),
    "take back the lost": lambda store, _rows: store.messages.requeue_lost(queued_for=timedelta(seconds=30)),
    "take back one's own": lambda store, rows: store.messages.requeue(ids(rows), incarnation=1),
    "take back a dead ticker's": lambda store, _rows: store.messages.requeue_claim(incarnation=1),
    "dead letter": lambda store, rows: store.messages.mark_dead_lettered(ids(rows)),
    "redrive": lambda store, rows: store.messages.redrive(ids(rows), by=OPERATOR),
    "hold after a restore": holding,
    "settle after a restore": settling,
    "mend by the ledger": mending,
    "move into the future": moving(timedelta(hours=1)),
    "move into the past": moving(timedelta(hours=-1)),
    "move far into the past": moving(-LATE_LIMIT - timedelta(hours=1)),
    "move before the user was there": moving(timedelta(days=-31)),
    "remove the day": moving(None),
    "delete the user": delete,
    "record a rejection after a move": to_what_is_sending(moving(timedelta(hours=1)), recording(Status.RETRYING, None)),
    "free a claim after a deletion": to_what_is_sending(delete, freeing(hold=False)),
}


async def test_the_statements_make_every_move_of_the_domain_and_no_other(store: Store) -> None:
    """The diagram, the constraints of the schema and the SQL must describe one state machine."""
    made: dict[tuple[Status, Status], set[str]] = {}

    for name, statement in STATEMENTS.items():
        before = await store.fetch(ONE_OF_EACH)
        await statement(store, before)
        after = await store.statuses()
        for row in before:
            if row["status"] != after[row["id"]]:
                made.setdefault((Status(row["status"]), Status(after[row["id"]])), set()).add(name)
        await store.fetch("truncate messages, attempts")

    drawn = {(state, following) for state, all_following in MOVES.items() for following in all_following}
    assert {move: names for move, names in made.items() if move not in drawn} == {}
    assert drawn - set(made) == set()
