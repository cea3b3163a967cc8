"""`heyday doctor --ledger` finds every difference, and `--mend` records only what is safe."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from actors.commands.doctor.ledger_file import Accepted, BadLine, open_ledger, read_ledger
from tests.actors.commands.doctor.conftest import Run
from tests.service.adapters.postgres.conftest import Store

KEY = UUID("0198c0de-0000-7000-8000-000000000001")
AT = datetime(2027, 3, 14, 9, tzinfo=UTC)


def read(file: Path) -> list[tuple[int, Accepted | BadLine]]:
    with open_ledger(file) as lines:
        return list(read_ledger(lines))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (f"{KEY}\n", None),
        (f'"{KEY}"\n', None),
        (f"\N{BYTE ORDER MARK}{KEY}\r\n\r\n", None),
        (f"key\n{KEY}\n", None),
        (f"email,idempotency_key,acceptedAt\na@b.c,{KEY},2027-03-14T09:00:00Z\n", AT),
        (f'{{"key": "{KEY}", "at": "2027-03-14T10:00:00+01:00"}}\n', AT),
        (f'{{"idempotencyKey": "{KEY}", "time": {int(AT.timestamp() * 1000)}}}\n', AT),
    ],
)
def test_each_form_of_a_ledger_is_understood(tmp_path: Path, text: str, at: datetime | None) -> None:
    """Services export different formats."""
    (tmp_path / "ledger").write_text(text, encoding="utf-8")

    assert [accepted for _, accepted in read(tmp_path / "ledger")] == [(KEY, at)]


@pytest.mark.parametrize(
    "line",
    ["no key", '{"key": 7}', "{broken", '{"key": null}', f'{{"key": "{KEY}", "at": "today"}}', '{"a": [1]}'],
)
def test_an_invalid_line_is_reported_and_the_next_is_read(tmp_path: Path, line: str) -> None:
    """One invalid line must not hide the others."""
    (tmp_path / "ledger").write_text(f"{line}\n{KEY}\n", encoding="utf-8")

    (first, bad), (second, good) = read(tmp_path / "ledger")

    assert isinstance(bad, BadLine)
    assert (first, second, good) == (1, 2, (KEY, None))


async def ended(store: Store, status: str, count: int = 1) -> list[UUID]:
    """Messages that have just ended with this status."""
    ids = await store.due(count)
    query = "update messages set status = $1, attempt = 1, ended_at = business_now() where id = any($2)"
    await store.fetch(query, status, ids)
    return ids


async def test_every_difference_is_listed_and_what_agrees_is_not(store: Store, doctor: Run, tmp_path: Path) -> None:
    """The operator decides from this list which messages to redrive."""
    agreeing, twice, missing = await ended(store, "sent", 3)
    (unknown,) = await ended(store, "unknown")
    (failed,) = await ended(store, "failed")
    strange = uuid4()
    file = tmp_path / "ledger"
    file.write_text("".join(f"{key}\n" for key in (agreeing, twice, twice, unknown, failed, strange)) + "rubbish\n")

    code, out = await doctor("--ledger", str(file), "--json")
    _, text = await doctor("--ledger", str(file))

    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {(one["difference"], one["id"]) for one in lines if "difference" in one} == {
        ("twice", str(twice)),
        ("not_sent_here", str(unknown)),
        ("not_sent_here", str(failed)),
        ("not_ours", str(strange)),
        ("not_accepted_there", str(missing)),
    }
    assert [one["line"] for one in lines if "error" in one] == [7]
    assert "1 twice, 2 not sent here, 1 not ours, 1 not accepted there, 1 unreadable lines" in text


async def test_a_ledger_that_agrees_has_no_difference(store: Store, doctor: Run, tmp_path: Path) -> None:
    """A message that was sent outside of the period of the ledger is no difference."""
    now = (await store.planning.planned()).now
    first, second, later = await ended(store, "sent", 3)
    await store.fetch("update messages set ended_at = ended_at + interval '1 hour' where id = $1", later)
    file = tmp_path / "ledger.csv"
    rows = [(first, now - timedelta(hours=1)), (second, now + timedelta(minutes=5))]
    file.write_text("key,at\n" + "".join(f"{key},{at.isoformat()}\n" for key, at in rows))

    code, out = await doctor("--ledger", str(file))

    assert (code, out.splitlines()[-1]) == (0, "Nothing differs.")


async def test_mending_records_what_was_unknown_and_accepted_and_nothing_else(
    store: Store, doctor: Run, tmp_path: Path
) -> None:
    """Every acceptance has a recorded attempt, with the time of the ledger."""
    known, held = await ended(store, "unknown", 2)
    (failed,) = await ended(store, "failed")
    (sent,) = await ended(store, "sent")
    file = tmp_path / "ledger"
    file.write_text(
        "".join(json.dumps({"key": str(key), "at": AT.isoformat()}) + "\n" for key in (known, failed, sent))
    )

    code, out = await doctor("--ledger", str(file), "--mend", "--from", "2027-01-01")

    assert code == 0
    assert "Mended: 1 message unknown" in out
    assert await store.statuses() == {known: "sent", held: "unknown", failed: "failed", sent: "sent"}
    attempts = await store.fetch("select message_id, outcome, number, started_at from attempts")
    assert [tuple(row) for row in attempts] == [(known, "accepted", 1, AT)]
    audited = await store.fetch("select action, subject_kind, subject_id, key_name from audit")
    assert [tuple(row) for row in audited] == [("messages.mended", "message", str(known), "command line")]


async def test_mending_is_not_taken_for_a_node_that_died(store: Store, doctor: Run, tmp_path: Path) -> None:
    """It sends no heartbeats, so nodes would find it dead after 8 s, and the alert NodeDied would fire."""
    (known,) = await ended(store, "unknown")
    file = tmp_path / "ledger"
    file.write_text(f"{known}\n")

    await doctor("--ledger", str(file), "--mend")

    rows = await store.fetch("select n.ended_at < a.at from audit a, nodes n where n.node = 'doctor'")
    assert [row[0] for row in rows] == [True]


async def test_what_was_mended_is_json_with_json(store: Store, doctor: Run, tmp_path: Path) -> None:
    (known,) = await ended(store, "unknown")
    file = tmp_path / "ledger"
    file.write_text(f"{known}\n")

    code, out = await doctor("--ledger", str(file), "--mend", "--json")

    assert code == 0
    assert [json.loads(line) for line in out.splitlines()][-1] == {"mended": 1}
