"""Tests that the audit log is append-only, and that entries expire."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from service.adapters.postgres.audit import PostgresAuditLog
from service.ports import AuditAction, AuditFilter, RowRefused
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store

LIFE = timedelta(days=730)


async def entries(store: Store) -> list[str]:
    return [row["subject_id"] for row in await store.fetch("select subject_id from audit order by at, id")]


@pytest.mark.parametrize("statement", ["update audit set role = 'read'", "delete from audit", "truncate audit"])
async def test_no_entry_is_changed_or_removed_even_by_the_owner(store: Store, statement: str) -> None:
    """An error in a manual statement must not change the history."""
    await PostgresAuditLog(store.database).record(OPERATOR, AuditAction.JOB_RUN, ["daily"])

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await store.fetch(statement)

    assert await entries(store) == ["daily"]


async def test_a_change_that_cannot_be_recorded_is_not_made(store: Store) -> None:
    """The change and its entry are one transaction, for one message and for many."""
    ids = await store.due(3)
    await store.fetch("update messages set status = 'expired', ended_at = now()")
    await store.fetch("alter table audit add check (subject_id <> $$" + str(ids[1]) + "$$)")
    user = await store.fetch("select id from users limit 1")

    redriven = await store.messages.redrive(ids, by=OPERATOR)
    await store.fetch("alter table audit add check (action <> 'user.erased')")
    with pytest.raises(RowRefused):
        await store.users.delete(user[0]["id"], version=None, by=OPERATOR, erase=True)

    assert sorted(redriven) == sorted([ids[0], ids[2]])
    assert sorted(await entries(store)) == sorted(map(str, redriven))  # entries of one millisecond have no order
    assert await store.fetch("select from users where deleted_at is not null") == []


async def test_a_page_has_the_newest_first_and_goes_on_where_it_ended(store: Store) -> None:
    """Support usually asks for recent changes."""
    log = PostgresAuditLog(store.database)
    for name in ("first", "second", "third"):
        await log.record(OPERATOR, AuditAction.JOB_RUN, [name])
        await store.fetch("select pg_sleep(0.002)")  # ids are ordered by the millisecond

    page = await log.page(AuditFilter(), before=None, limit=2)
    rest = await log.page(AuditFilter(), before=page[-1].id, limit=2)

    assert [one.subject_id for one in (*page, *rest)] == ["third", "second", "first"]
    assert page[0].by == OPERATOR


async def test_entries_are_forgotten_after_two_years_some_at_a_time(store: Store) -> None:
    """The nodes' role may not delete. A function of the owner deletes old entries only."""
    for days in (731, 733, 732, 729, 0):
        await store.fetch(
            "insert into audit (at, key_name, role, action, subject_kind, subject_id)"
            " values (business_now() - make_interval(days => $1), 'k', 'admin', 'job.run', 'job', $1::text)",
            days,
        )

    forgotten = [row["forget_audit"] for _ in range(3) for row in await store.fetch("select forget_audit(2)")]

    assert forgotten == [2, 1, 0]
    assert await entries(store) == ["729", "0"]
