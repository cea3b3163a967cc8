"""`heyday redrive`, called as on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import sys
from functools import partial
from uuid import UUID, uuid4

import pytest

from tests.actors.commands.conftest import Run
from tests.actors.commands.test_command_line import closed_pipe
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store

NOT_REDRIVEN = "1 of those listed is not redriven: the user is deleted, or the occasion is not active."


@pytest.fixture
def heyday(heyday: Run) -> Run:
    """Runs `heyday redrive`."""
    return partial(heyday, "redrive")


async def ended(store: Store, status: str, count: int) -> list[UUID]:
    """Messages that have ended with this status, oldest first."""
    ids = await store.due(count)
    await store.fetch(
        "update messages set status = $1, ended_at = business_now(), attempt = 3, status_reason = 'no answer in time'"
        " where id = any($2)",
        status,
        ids,
    )
    return ids


async def delete_user_of(store: Store, message: UUID) -> None:
    """Delete the user of a message."""
    query = "update users set deleted_at = business_now() where id = (select user_id from messages where id = $1)"
    await store.fetch(query, message)


async def test_an_occasion_that_is_not_there_is_wrong_usage(store: Store, heyday: Run) -> None:
    """A typing error must not look like a redrive that is done."""
    await ended(store, "failed", 1)

    code, out, error = await heyday("--status", "failed", "--occasion", "birthdays")

    assert (code, out) == (2, "")
    assert "--occasion: expected one of anniversary, birthday, not 'birthdays'" in error


async def test_an_end_before_the_start_is_wrong_usage(store: Store, heyday: Run) -> None:
    """It matches no message, and must not look like a redrive that is done."""
    await ended(store, "failed", 1)

    code, out, error = await heyday("--status", "failed", "--from", "2027-03-15", "--to", "2027-03-14")

    assert (code, out) == (2, "")
    assert "--to: expected an instant after --from" in error


async def test_that_no_message_matches_is_said(store: Store, heyday: Run) -> None:
    """Nothing is due now. Messages of deleted users count as none."""
    (of_deleted,) = await ended(store, "failed", 1)
    await delete_user_of(store, of_deleted)

    for status in ("failed", "unknown"):
        code, out, _ = await heyday("--status", status)
        assert (code, out) == (0, "No message that can be redriven matches. Nothing was changed.\n")
    _, dry, _ = await heyday("--status", "unknown", "--dry-run")
    _, as_json, _ = await heyday("--status", "unknown", "--json")

    assert dry == "No message that can be redriven matches. Nothing was changed: this was a dry run.\n"
    assert json.loads(as_json) == {"matched": 0, "redriven": 0}


async def test_all_of_a_status_are_scheduled_again_except_those_of_deleted_users(store: Store, heyday: Run) -> None:
    """The SQL statement excludes deleted users, so every command and route excludes them."""
    unknown = await ended(store, "unknown", 3)
    failed = await ended(store, "failed", 1)
    await delete_user_of(store, unknown[0])

    code, out, _ = await heyday("--status", "unknown")

    assert (code, out) == (0, "2 of 2 messages redriven: they are due now.\n")
    assert await store.statuses() == {
        unknown[0]: "unknown", unknown[1]: "scheduled", unknown[2]: "scheduled", failed[0]: "failed"
    }  # fmt: skip
    audited = await store.fetch("select subject_id, key_name, os_user, action, request_id from audit order by id")
    me = pwd.getpwuid(os.getuid()).pw_name
    assert {tuple(row) for row in audited} == {
        (str(one), "command line", me, "messages.redriven", None) for one in unknown[1:]
    }
    assert await store.messages.redrive([unknown[0]], by=OPERATOR) == []


@pytest.mark.parametrize("status", ["failed", "unknown", "expired"])
async def test_a_dry_run_lists_them_with_their_reasons_and_changes_nothing(
    store: Store, heyday: Run, status: str
) -> None:
    """A person checks the list before thousands of messages are sent again."""
    ids = await ended(store, status, 3)
    await delete_user_of(store, ids[2])

    code, out, _ = await heyday("--status", status, "--occasion", "birthday", "--dry-run", "--list")

    lines = out.splitlines()
    assert code == 0
    assert {line.split()[0] for line in lines[:3]} == {str(one) for one in ids}
    assert all("no answer in time" in line for line in lines[:3])
    assert lines[3] == "2 messages would be redriven. Nothing was changed: this was a dry run."
    assert lines[4] == NOT_REDRIVEN
    assert set((await store.statuses()).values()) == {status}


async def test_a_dry_run_counts_by_reason(store: Store, heyday: Run) -> None:
    """After a bad night there are thousands, of two or three reasons."""
    ids = await ended(store, "failed", 5)
    await store.fetch("update messages set status_reason = 'HTTP 422: no such domain' where id = any($1)", ids[:2])
    await delete_user_of(store, ids[4])

    code, out, _ = await heyday("--status", "failed", "--dry-run")
    _, as_json, _ = await heyday("--status", "failed", "--dry-run", "--json")

    lines = out.splitlines()
    assert code == 0
    assert [line.split("  (")[0].split(maxsplit=1) for line in lines[:2]] == [
        ["3", "no answer in time"],
        ["2", "HTTP 422: no such domain"],
    ]
    assert lines[2] == "4 messages would be redriven. Nothing was changed: this was a dry run."
    assert lines[3] == NOT_REDRIVEN
    assert [(one["reason"], one["messages"], one["redrivable"]) for one in map(json.loads, as_json.splitlines())] == [
        ("no answer in time", 3, 2),
        ("HTTP 422: no such domain", 2, 2),
    ]


async def test_all_messages_are_redriven_although_the_reader_has_left(store: Store) -> None:
    """`heyday redrive ID… | head` ended after some of them, with exit code 0."""
    ids = await ended(store, "failed", 300)

    code, said = await closed_pipe(["redrive", *map(str, ids)], HEYDAY_DATABASE_URL=store.dsn)

    assert set((await store.statuses()).values()) == {"scheduled"}
    assert code == 1
    assert said == "heyday: all messages were tried, but not all results could be written: Broken pipe\n"


async def test_a_reader_that_closes_the_pipe_causes_no_traceback(store: Store) -> None:
    """`heyday redrive --status failed --dry-run --list | head` is how a person looks at a long list."""
    await ended(store, "failed", 2_000)
    command = [sys.executable, "-m", "actors.cli", "redrive", "--status", "failed", "--dry-run", "--list"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HEYDAY_DATABASE_URL": store.dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 10,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `head` does at its end
    said = await process.stderr.read()

    assert (await process.wait(), said) == (0, b"")


async def test_messages_are_redriven_by_id_and_each_refusal_has_its_reason(store: Store, heyday: Run) -> None:
    """A script must find out that one of its messages was not redriven."""
    good, of_deleted = await ended(store, "failed", 2)
    (scheduled,) = await store.due(1)
    await delete_user_of(store, of_deleted)
    nobody = uuid4()

    code, out, _ = await heyday(*map(str, (good, of_deleted, scheduled, nobody)))

    assert code == 1
    assert out.splitlines() == [
        f"{good}: redriven",
        f"{of_deleted}: its user is deleted",
        f"{scheduled}: its status is scheduled; only expired, failed, unknown can be redriven",
        f"{nobody}: there is no such message",
    ]


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
async def test_a_message_of_an_occasion_that_is_not_active_is_refused(
    store: Store, heyday: Run, words: tuple[str, ...]
) -> None:
    """The person activates the occasion, and does not look for another change of the message."""
    (failed,) = await ended(store, "failed", 1)
    await store.fetch("update occasions set active = false where code = 'birthday'")

    code, out, _ = await heyday(str(failed), *words)

    assert (code, out) == (1, f"{failed}: its occasion is not active\n")


async def test_several_statuses_of_one_user_are_redriven(store: Store, heyday: Run) -> None:
    """After one address was corrected, the others are left alone."""
    failed, unknown = await ended(store, "failed", 2), await ended(store, "unknown", 1)
    query = "select user_id from messages where id = $1"
    (first,), (second,) = await store.fetch(query, failed[0]), await store.fetch(query, unknown[0])
    await store.fetch("update users set email_key = 'ada@example.com' where id = $1", second["user_id"])

    for user in (str(first["user_id"]), "Ada@example.com"):
        code, out, _ = await heyday("--status", "failed", "--status", "unknown", "--user", user)
        assert (code, out) == (0, "1 of 1 message redriven: it is due now.\n")

    assert await store.statuses() == {failed[0]: "scheduled", failed[1]: "failed", unknown[0]: "scheduled"}


async def test_a_user_who_is_not_there_is_no_redrive_of_nothing(store: Store, heyday: Run) -> None:
    """A typing error must not look like a redrive that is done."""
    await ended(store, "failed", 1)

    code, out, error = await heyday("--status", "failed", "--user", "absent@example.com")

    assert (code, out) == (1, "")
    assert "no user has the address absent@example.com" in error


@pytest.mark.parametrize(
    "words", ["--user ada@example.com", "--occasion birthday", "--from 2027-03-14", "--to 2027-03-14"]
)
async def test_a_filter_beside_ids_is_wrong_usage(heyday: Run, words: str) -> None:
    """It would be ignored."""
    code, out, error = await heyday(str(uuid4()), *words.split())

    assert (code, out) == (2, "")
    assert f"{words.split()[0]}: expected --status instead of ids" in error


async def test_neither_ids_nor_a_status_is_wrong_usage(heyday: Run) -> None:
    """A missing argument must not redrive everything."""
    code, out, said = await heyday()

    assert (code, out) == (2, "")
    assert "expected either ids of messages or --status" in said
    assert said.startswith("usage: heyday redrive ")
