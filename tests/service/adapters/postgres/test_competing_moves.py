"""Moves that compete for one message over many connections: each change of state is legal, and made by one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from itertools import combinations_with_replacement
from uuid import UUID

from service.adapters.postgres.restored import PostgresRestored
from service.domain.messages import MOVES, Answer, Outcome, Status
from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User
from service.ports import Claim, Result, Unavailable
from tests.edits import edited
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.service.adapters.postgres.test_moves import ONE_OF_EACH, Rows, ids

JOURNAL = """
create table journal (n bigint generated always as identity, id uuid, was text, status text);
create function note_move() returns trigger language plpgsql as $$
begin
    insert into journal (id, was, status) values (new.id, old.status, new.status);
    return null;
end $$;
create trigger note_move after update on messages for each row
    when (old.status <> new.status) execute function note_move();
"""
"""Every change of state in the order in which it was made. For one message it is the order of the commits."""

Move = Callable[[Store, Rows], Awaitable[int | None]]
"""Tries to move every row. Returns the number of moves that it reports, None if it reports none."""


async def claim_due(store: Store, _rows: Rows) -> int:
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=99, late_limit=LATE_LIMIT)
    return len(due.queued) + len(due.too_late)


async def expire(store: Store, _rows: Rows) -> int:
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=99, late_limit=timedelta(seconds=1))
    return len(due.queued) + len(due.too_late)


async def claim_for_sending(store: Store, rows: Rows) -> int:
    return len(await store.messages.claim_for_sending(ids(rows), incarnation=1))


def record(status: Status, outcome: Outcome) -> Move:
    async def move(store: Store, rows: Rows) -> int:
        claims = [Claim(row["id"], row["local_year"], attempt=1, incarnation=1) for row in rows]
        results = [Result(claim, status, Answer(outcome, 0.1), began=0.0) for claim in claims]
        return len(await store.messages.record(results, at=1.0))

    return move


def release_claims(*, hold: bool) -> Move:
    async def move(store: Store, rows: Rows) -> int:
        freed = await store.messages.release_claims([(row["id"], 1) for row in rows], hold=hold)
        return len(freed)

    return move


async def requeue_lost(store: Store, _rows: Rows) -> int:
    return await store.messages.requeue_lost(queued_for=timedelta(0))


async def take_back_own(store: Store, rows: Rows) -> int:
    return await store.messages.requeue(ids(rows), incarnation=1)


async def redrive(store: Store, rows: Rows) -> int:
    return len(await store.messages.redrive(ids(rows), by=OPERATOR))


async def hold_after_a_restore(store: Store, rows: Rows) -> int:
    return await PostgresRestored(store.database).hold(ids(rows), incarnation=1, reason="restored")


def edit(by: timedelta | None) -> Move:
    """Move each user's day by this much from now, or remove it."""

    async def move(store: Store, rows: Rows) -> None:
        def keep(user: User) -> Profile:
            return user.profile

        for row in rows:
            desired = [DesiredMessage("birthday", row["local_year"], None if by is None else row["at"] + by)]
            await edited(store.users, row["user_id"], keep, partial(_these, desired), version=None)

    return move


def _these(desired: list[DesiredMessage], *_: object) -> list[DesiredMessage]:
    return desired


async def delete(store: Store, rows: Rows) -> None:
    for row in rows:
        await store.users.delete(row["user_id"], version=None, by=OPERATOR)


COMPETING: dict[str, Move] = {
    "claim what is due": claim_due,
    "expire what is late": expire,
    "claim for sending": claim_for_sending,
    "record an acceptance": record(Status.SENT, Outcome.ACCEPTED),
    "record a rejection": record(Status.RETRYING, Outcome.TRANSIENT_FAILURE),
    "free claims": release_claims(hold=False),
    "free claims and hold": release_claims(hold=True),
    "take back what is lost": requeue_lost,
    "take back one's own": take_back_own,
    "redrive": redrive,
    "hold after a restore": hold_after_a_restore,
    "move the day ahead": edit(timedelta(hours=2)),
    "remove the day": edit(None),
    "delete the user": delete,
}


async def repeated(move: Move, store: Store, rows: Rows) -> int | None:
    """Make a move, as often as PostgreSQL ends it.

    A record locks late acceptances after the claims, so it may deadlock with another move. PostgreSQL ends one of the
    two, which has changed nothing; those who make it repeat it, too.
    """
    while True:
        try:
            return await move(store, rows)
        except Unavailable:
            await asyncio.sleep(0)


async def rows_in_each_state(store: Store) -> Rows:
    await store.fetch("truncate messages, attempts")
    made = await store.fetch(ONE_OF_EACH)
    await store.fetch("truncate journal")
    return await store.fetch(
        "select id, user_id, local_year, status, send_at as at from messages where id = any($1)", ids(made)
    )


async def assert_each_step_is_legal(store: Store, before: Rows) -> int:
    """Check that each message followed the moves of the domain to its present state. Return the number of moves."""
    at: dict[UUID, str] = {row["id"]: row["status"] for row in before}
    journal = await store.fetch("select * from journal order by n")
    for step in journal:
        assert step["was"] == at[step["id"]], dict(step)
        assert Status(step["status"]) in MOVES[Status(step["was"])], dict(step)
        at[step["id"]] = step["status"]
    assert at == await store.statuses()
    return len(journal)


async def test_of_any_two_moves_that_meet_each_change_is_made_by_one(store: Store) -> None:
    """Two workers try every pair of moves at once on a message in each state.

    A change that one worker reports was made by no other.
    """
    async with store.database.connection() as connection:
        await connection.execute(JOURNAL)

    for first, second in combinations_with_replacement(COMPETING, 2):
        before = await rows_in_each_state(store)
        sending = [row["id"] for row in before if row["status"] == Status.SENDING]

        told = await asyncio.gather(
            *(repeated(COMPETING[name], store, before) for name in (first, second, second, first))
        )

        pair = f"{first} and {second}"
        moves = await assert_each_step_is_legal(store, before)
        if None not in told:
            assert sum(count or 0 for count in told) == moves, pair
        assert len(await store.statuses()) == len(before), pair
        if "record an acceptance" in (first, second):
            # The service's answer stays on record, whichever node has the row.
            accepted = await store.fetch("select message_id from attempts where outcome = 'accepted'")
            assert {row["message_id"] for row in accepted} >= set(sending), pair


async def test_an_attempt_of_a_message_has_one_sender_under_any_load(store: Store) -> None:
    """Tickers, senders, recovery, redrives and edits work on forty messages until nothing moves.

    Each attempt was claimed once, and each message was recorded as sent at most once.
    """
    async with store.database.connection() as connection:
        await connection.execute(JOURNAL)
    messages = await store.due(40)
    before = await store.fetch("select id, user_id, local_year, status, send_at as at from messages")
    claims: list[Claim] = []
    sent: list[UUID] = []
    over = asyncio.Event()

    async def again_and_again(move: Callable[[], Awaitable[object]]) -> None:
        while not over.is_set():
            await move()
            await asyncio.sleep(0)

    async def send(incarnation: int) -> None:
        for part in (messages[:25], messages[15:]):
            claimed = [one.claim for one in await store.messages.claim_for_sending(part, incarnation=incarnation)]
            claims.extend(claimed)
            results = [
                Result(claim, Status.SENT, Answer(Outcome.ACCEPTED, 0.1), began=0.0)
                if claim.attempt + number % 3 > 3
                else Result(claim, Status.RETRYING, Answer(Outcome.TRANSIENT_FAILURE, 0.1), began=0.0)
                for number, claim in enumerate(claimed)
            ]
            recorded = await store.messages.record(results, at=1.0)
            sent.extend(one.id for one in recorded if one.status is Status.SENT)

    async def free_some() -> None:
        stuck = await store.messages.sending_for(0)
        freed = await store.messages.release_claims(sorted(stuck)[:3], hold=False)
        # By an acceptance that was recorded after its sender had lost the claim.
        sent.extend(one.id for one in freed if one.status is Status.SENT)

    async def until_all_are_sent() -> None:
        async def are_sent() -> bool:
            return set((await store.statuses()).values()) == {"sent"}

        await eventually(are_sent)
        over.set()

    await asyncio.gather(
        until_all_are_sent(),
        *(again_and_again(lambda: claim_due(store, before)) for _ in range(3)),
        *(again_and_again(lambda number=number: send(number)) for number in range(1, 5)),  # type: ignore[misc]
        again_and_again(free_some),
        again_and_again(lambda: requeue_lost(store, before)),
        again_and_again(lambda: edit(timedelta(0))(store, before[:5])),
    )

    await assert_each_step_is_legal(store, before)
    once = Counter((claim.id, claim.attempt) for claim in claims)
    assert max(once.values()) == 1
    assert Counter(sent) == Counter(messages)
