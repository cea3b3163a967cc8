"""`heyday prune`, called as on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from service.adapters.postgres import years as years_module
from service.adapters.postgres.years import YearNotRemoved, opened_years
from tests.actors.commands.conftest import Run
from tests.actors.commands.test_command_line import closed_pipe
from tests.node.harness import eventually
from tests.pgbouncer import pooled
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store

TABLES = "select relname from pg_class where relkind = 'r' and relname ~ '^(messages|attempts)_[0-9]+$' order by 1"


@pytest.fixture
def heyday(heyday: Run) -> Run:
    """Runs `heyday prune`."""
    return partial(heyday, "prune")


@pytest.fixture
async def this_year(store: Store) -> int:
    """The current year. The three years before last have messages, sent with an attempt each."""
    (row,) = await store.fetch("select extract(year from business_now())::integer as year")
    year: int = row["year"]
    for ago in (4, 3, 2):
        await old_messages(store, year - ago, count=ago)
    return year


async def old_messages(store: Store, year: int, *, count: int, status: str = "sent") -> None:
    await store.fetch("select ensure_year($1)", year)
    await store.fetch(
        """
        with made as (
            insert into messages
                (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, ended_at)
            select uuid_v7(), 'birthday', $1, 'UTC', at, at, $2, 1, 't', case when $2 <> 'scheduled' then at end
            from generate_series(1, $3), lateral (select make_timestamptz($1, 5, 5, 9, 0, 0)) t (at)
            returning id
        )
        insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration)
        select id, $1, 1, 'accepted', 1, now(), 0.1 from made
        """,
        year,
        status,
        count,
    )


async def tables(store: Store) -> set[str]:
    return {row["relname"] for row in await store.fetch(TABLES)}


async def test_years_before_it_are_removed_and_counted_and_the_others_stay(
    store: Store, heyday: Run, this_year: int
) -> None:
    """Messages and attempts go together, and the audit log says who did it."""
    code, out, _ = await heyday("--before", str(this_year - 2))

    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"{this_year - 4}: 4 messages and 4 attempts removed, 0.")
    assert lines[1].startswith(f"{this_year - 3}: 3 messages and 3 attempts removed, 0.")
    assert {name[-4:] for name in await tables(store)} == {str(this_year + n) for n in (-2, -1, 0, 1)}
    audited = await store.fetch("select action, subject_kind, subject_id, key_name, os_user from audit order by id")
    assert [tuple(row) for row in audited] == [
        ("year.pruned", "year", str(this_year - ago), "command line", pwd.getpwuid(os.getuid()).pw_name)
        for ago in (4, 3)
    ]
    assert await heyday("--before", str(this_year - 2)) == (0, f"There is no year before {this_year - 2}.\n", "")


async def test_a_reader_that_leaves_ends_it_with_the_year_that_was_the_last(store: Store, this_year: int) -> None:
    """It is half done, so the exit code is not 0, and no server is blamed."""
    code, said = await closed_pipe(["prune", "--before", str(this_year - 2)], HEYDAY_DATABASE_URL=store.dsn)

    assert code == 1
    assert said == f"heyday: {this_year - 4} was removed, and later years are left as they are: Broken pipe\n"
    assert f"messages_{this_year - 3}" in await tables(store)


async def test_a_dry_run_counts_and_changes_nothing(store: Store, heyday: Run, this_year: int) -> None:
    """The figures come before the decision."""
    before = await tables(store)

    code, out, _ = await heyday("--before", str(this_year - 1), "--dry-run", "--json")

    documents = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(one["year"], one["messages"], one["attempts"], one["removed"]) for one in documents] == [
        (this_year - ago, ago, ago, False) for ago in (4, 3, 2)
    ]
    assert all(one["bytes"] > 8000 for one in documents)
    assert await tables(store) == before
    assert await store.fetch("select from audit") == []


@pytest.mark.parametrize("later", [0, 1, 100])
async def test_this_year_and_the_last_one_are_refused(store: Store, heyday: Run, this_year: int, later: int) -> None:
    """In January a message of the last local year may still be unsent, and its row forbids a second greeting."""
    before = await tables(store)

    code, out, said = await heyday("--before", str(this_year + later))

    assert (code, out) == (2, "")
    assert f"{this_year - 1} and later years are in use" in said
    assert f"Expected at most --before {this_year - 1}" in said
    assert await tables(store) == before


@pytest.mark.parametrize("words", [(), ("--before", "0"), ("--before", "last"), ("--before", "20250")])
async def test_a_year_is_needed(heyday: Run, words: tuple[str, ...]) -> None:
    """A missing argument must not remove everything."""
    assert (await heyday(*words))[0] == 2


async def test_a_year_with_an_unsent_message_is_refused_before_anything_is_removed(
    store: Store, heyday: Run, this_year: int
) -> None:
    """A greeting must not get lost because its year is old."""
    await old_messages(store, this_year - 3, count=2, status="scheduled")
    before = await tables(store)

    code, out, said = await heyday("--before", str(this_year - 1))

    assert (code, out) == (1, "")
    assert f"there are unsent messages ({this_year - 3} has 2)" in said
    assert await tables(store) == before


async def test_a_message_that_is_redriven_meanwhile_keeps_its_year(
    store: Store, database: str, this_year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are checked again when they can no longer change, and are attached again."""
    year = this_year - 2
    await old_messages(store, year, count=1, status="scheduled")

    async with opened_years(database) as years:
        found = [table for table in await years.tables(year + 1) if table.year == year]
        with pytest.raises(YearNotRemoved, match=f"{year} has 1 unsent messages"):
            await years.remove(found, by=OPERATOR)

        again = [table for table in await years.tables(year + 1) if table.year == year]
    assert [(table.attached, table.marked) for table in again] == [(True, False), (True, False)]
    assert len(await store.fetch("select from messages where local_year = $1", year)) == 3


async def test_nodes_go_on_while_it_waits_for_a_backup_and_it_goes_on_where_it_stopped(
    store: Store, database: str, heyday: Run, this_year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump holds its locks for hours. No statement of a node may wait behind the command."""
    year = this_year - 4
    backup = await asyncpg.connect(database)
    reading = backup.transaction(isolation="repeatable_read")
    await reading.start()
    await backup.fetch("select count(*) from messages")
    monkeypatch.setattr(years_module, "LOCK_TIMEOUT", "1s")

    async with opened_years(database, wait=1.5) as years:
        removing = asyncio.ensure_future(years.remove(await years.tables(this_year - 3), by=OPERATOR))
        await eventually(lambda: waits(store))
        async with asyncio.timeout(60):
            await store.due(3)
            claimed = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=LATE_LIMIT)
        with pytest.raises(YearNotRemoved, match=f"messages_{year} is in use by another session, such as a backup"):
            await removing
    assert len(claimed.queued) == 3
    half = await store.fetch("select from pg_inherits where inhdetachpending")
    await reading.rollback()
    await backup.close()

    assert len(half) == 1
    assert (await heyday("--before", str(this_year - 3)))[0] == 0
    assert {name[-4:] for name in await tables(store)} == {str(this_year + n) for n in (-3, -2, -1, 0, 1)}
    assert [row["subject_id"] for row in await store.fetch("select subject_id from audit")] == [str(year)]


async def waits(store: Store) -> bool:
    """True while a detachment waits for a lock."""
    query = "select from pg_stat_activity where query like 'alter table messages detach%' and wait_event_type = 'Lock'"
    return bool(await store.fetch(query))


@pytest.mark.parametrize("after", ["comment", "messages", "attempts"])
async def test_it_can_be_killed_after_each_step_and_run_again(
    store: Store, database: str, heyday: Run, this_year: int, after: str
) -> None:
    """A comment marks the tables that a run has begun to remove."""
    year = this_year - 2
    await store.fetch(f"comment on table messages_{year} is '{years_module.MARK}'")
    if after != "comment":
        await store.fetch(f"alter table messages detach partition messages_{year}")
    if after == "attempts":
        await store.fetch(f"comment on table attempts_{year} is '{years_module.MARK}'")
        await store.fetch(f"alter table attempts detach partition attempts_{year}")

    code, out, _ = await heyday("--before", str(this_year - 1))

    assert code == 0
    assert f"{year}: 2 messages and 2 attempts removed" in out
    assert {name[-4:] for name in await tables(store)} == {str(this_year + n) for n in (-1, 0, 1)}


async def test_a_table_that_a_person_has_detached_is_left_alone(store: Store, heyday: Run, this_year: int) -> None:
    """It is kept somewhere for a reason, and so are its attempts."""
    year = this_year - 3
    await store.fetch(f"alter table messages detach partition messages_{year}")

    code, out, said = await heyday("--before", str(this_year - 1))

    assert code == 0
    assert f"{year} is left as it is: messages_{year} was detached by hand" in said
    assert str(year) not in out
    assert {f"messages_{year}", f"attempts_{year}"} < await tables(store)


async def test_a_default_partition_forbids_concurrently_and_nothing_else(
    store: Store, heyday: Run, this_year: int
) -> None:
    """PostgreSQL refuses to detach concurrently then, so the whole table is locked for a moment."""
    await store.fetch("create table messages_rest partition of messages default")

    assert (await heyday("--before", str(this_year - 3)))[0] == 0
    assert f"messages_{this_year - 4}" not in await tables(store)


async def test_two_runs_at_once_remove_each_year_once(store: Store, database: str, heyday: Run, this_year: int) -> None:
    """The second waits for the first, as migrations do."""
    words = ("--before", str(this_year - 1))

    await asyncio.gather(heyday(*words), heyday(*words))

    audited = await store.fetch("select subject_id from audit order by 1")
    assert [row["subject_id"] for row in audited] == [str(this_year - ago) for ago in (4, 3, 2)]


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_it_works_behind_a_pooler(store: Store, database: str, this_year: int, mode: str) -> None:
    """The detachment runs outside a transaction there, too."""
    async with pooled(database, mode) as pooler, opened_years(pooler.dsn()) as years:
        (messages, attempts) = await years.tables(this_year - 3)

        removed = await years.remove([messages, attempts], by=OPERATOR)

    assert (removed.year, removed.messages, removed.attempts) == (this_year - 4, 4, 4)
    assert f"messages_{this_year - 4}" not in await tables(store)


async def test_a_role_that_does_not_own_the_tables_is_told_so(
    store: Store, database: str, heyday: Run, this_year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's role does not own the tables, and an operator may use the node's URL."""
    role = f"reader_{os.getpid()}"
    await store.fetch(f"create role {role} login password 'x'")
    await store.fetch(f"grant select, insert, update, delete on all tables in schema public to {role}")
    parts = urlsplit(database)
    url = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}"))
    monkeypatch.setenv("HEYDAY_DATABASE_URL", url)

    code, out, said = await heyday("--before", str(this_year - 1))

    await store.fetch(f"drop owned by {role}")
    await store.fetch(f"drop role {role}")
    assert (code, out) == (1, "")
    assert "run the command as the role that owns the tables of heyday" in said
    assert f"messages_{this_year - 4}" in await tables(store)
