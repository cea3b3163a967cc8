"""Two transactions about one message or one user: the second sees what the first has committed while it waited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import pytest

from service.adapters.postgres.queries import load
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.domain.messages import Answer, Outcome, Status
from service.domain.suppressions import NewSuppression, SuppressionReason
from service.ports import Result
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store, nine, profile
from tests.service.adapters.postgres.test_planning import in_three_days
from tests.service.adapters.postgres.test_record import claimed_again, sending

T = TypeVar("T")

_USERS = load("users.sql")
_PLANNING = load("planning.sql")
_SUPPRESSIONS = load("suppressions.sql")

_WAITING = "select true from pg_locks where not granted limit 1"


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A transaction that is committed at the end."""
    connection = await asyncpg.connect(store.dsn)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


async def begun(store: Store, call: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
    """The call, which waits for a lock."""
    task = asyncio.ensure_future(call())

    async def waits() -> object:
        return task.done() or await store.fetch(_WAITING)

    await eventually(waits)
    return task


async def test_an_acceptance_that_is_recorded_meanwhile_settles_the_message(store: Store) -> None:
    """Otherwise only a key in Redis keeps the message from being sent once more."""
    (first,) = await sending(store)
    (second,) = await claimed_again(store, [first.claim.id], incarnation=2)
    rejected = Answer(Outcome.TRANSIENT_FAILURE, 0.2, 503, "unavailable")

    async with opened(store) as late:
        await late.execute("select from messages where id = $1 for update", first.claim.id)
        await late.execute(
            "insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration)"
            " values ($1, $2, 1, 'accepted', 1, now(), 0.1)",
            first.claim.id,
            first.claim.local_year,
        )
        recording = await begun(
            store, lambda: store.messages.record([Result(second.claim, Status.RETRYING, rejected, began=0.0)], at=1.0)
        )

    assert [one.status for one in await recording] == [Status.SENT]
    assert await store.statuses() == {first.claim.id: "sent"}


async def test_a_redrive_during_a_deletion_schedules_nothing(store: Store) -> None:
    """The message could not be claimed, and was taken for one that the delivery queue loses, for two days."""
    (claimed,) = await sending(store)
    await store.fetch("update messages set status = 'failed', claimed_by = null, ended_at = business_now()")
    [row] = await store.fetch("select user_id from messages")

    async with opened(store) as deleting:
        await deleting.fetchrow(_USERS.lock_user, row["user_id"])
        await deleting.execute(_USERS.delete_user, row["user_id"])
        await deleting.execute(_PLANNING.cancel_user, row["user_id"])
        redriving = await begun(store, lambda: store.messages.redrive([claimed.claim.id], by=OPERATOR))

    assert await redriving == []
    assert await store.statuses() == {claimed.claim.id: "failed"}


@pytest.mark.parametrize("known", [False, True])
async def test_no_address_is_suppressed_in_clear_while_its_user_is_erased(store: Store, known: bool) -> None:
    """A bounce and "delete my account" come together. The opt-out stays as a hash."""
    suppressions = PostgresSuppressions(store.database)
    day = await in_three_days(store)
    user = await store.users.create(profile(day), nine(day))
    bounce = NewSuppression(user.profile.email, SuppressionReason.BOUNCE, "brevo", keep_address=False)
    if known:
        await suppressions.add([bounce], by=OPERATOR)

    async with opened(store) as erasing:
        await erasing.execute(_SUPPRESSIONS.erase_alone)
        await erasing.fetchrow(_USERS.lock_user_or_deleted, user.id)
        await erasing.execute(_USERS.delete_user, user.id)
        await erasing.execute(_SUPPRESSIONS.forget_address, user.id)
        await erasing.execute(_USERS.erase_user, user.id)
        adding = await begun(store, lambda: suppressions.add([bounce], by=OPERATOR))

    [added] = await adding
    assert added.suppression.email is None
    assert [row["email"] for row in await store.fetch("select email from suppressions")] == [None]
