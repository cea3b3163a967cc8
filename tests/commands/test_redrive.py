"""`heyday redrive`, as a person at a command line has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from actors.cli import main
from tests.adapters.postgres.conftest import Store

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def heyday(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `heyday redrive` on the test's database: exit code, output, errors."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", database)

    async def run(*words: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(main, ["redrive", *words]), *capsys.readouterr()

    return run


async def ended(store: Store, status: str, count: int) -> list[UUID]:
    """So many messages that have ended like that, oldest first."""
    ids = await store.due(count)
    await store.fetch(
        "update messages set status = $1, ended_at = business_now(), attempt = 3, reason = 'no answer in time'"
        " where id = any($2)",
        status,
        ids,
    )
    return ids


async def delete_user_of(store: Store, message: UUID) -> None:
    """Nobody is there to greet any more."""
    query = "update users set deleted_at = business_now() where id = (select user_id from messages where id = $1)"
    await store.fetch(query, message)


async def test_all_of_a_state_are_scheduled_again_but_not_those_of_deleted_users(store: Store, heyday: Run) -> None:
    """The rule is the statement's: whoever redrives, by whatever way, greets nobody who has left."""
    unknown = await ended(store, "unknown", 3)
    failed = await ended(store, "failed", 1)
    await delete_user_of(store, unknown[0])

    code, out, _ = await heyday("--status", "unknown")

    assert (code, out) == (0, "2 of 2 messages redriven: they are due now.\n")
    assert await store.statuses() == {
        unknown[0]: "unknown", unknown[1]: "scheduled", unknown[2]: "scheduled", failed[0]: "failed"
    }  # fmt: skip
    assert await store.messages.redrive([unknown[0]]) == []


@pytest.mark.parametrize("status", ["failed", "unknown", "expired"])
async def test_a_dry_run_lists_them_with_their_reasons_and_changes_nothing(
    store: Store, heyday: Run, status: str
) -> None:
    """Before anybody sends thousands again, they see what and why."""
    ids = await ended(store, status, 3)
    await delete_user_of(store, ids[2])

    code, out, _ = await heyday("--status", status, "--occasion", "birthday", "--dry-run")

    lines = out.splitlines()
    assert code == 0
    assert {line.split()[0] for line in lines[:3]} == {str(one) for one in ids}
    assert all("no answer in time" in line for line in lines[:3])
    assert lines[3] == "2 messages would be redriven. Nothing was changed: this was a dry run."
    assert lines[4] == "1 of those listed are of deleted users, and stay."
    assert set((await store.statuses()).values()) == {status}


async def test_messages_are_redriven_by_their_ids_and_each_that_cannot_be_is_explained(
    store: Store, heyday: Run
) -> None:
    """A script must find out that one of its messages was not redriven."""
    good, of_deleted = await ended(store, "failed", 2)
    (scheduled,) = await store.due(1)
    await delete_user_of(store, of_deleted)
    nobody = uuid4()

    code, out, _ = await heyday(*map(str, (good, of_deleted, scheduled, nobody)))

    assert code == 1
    assert out.splitlines() == [
        f"{good}: redriven",
        f"{of_deleted}: its user is deleted, nobody is there to greet",
        f"{scheduled}: it is scheduled, and only expired, failed, unknown can be redriven",
        f"{nobody}: there is no such message",
    ]


async def test_everything_at_once_is_not_redriven_by_mistake(heyday: Run) -> None:
    """Neither ids nor a state is no wish to redrive all."""
    code, out, said = await heyday()

    assert (code, out) == (2, "")
    assert "expected ids of messages, or --status" in said
