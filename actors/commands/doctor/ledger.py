"""What `heyday doctor --ledger FILE` says: where the email service's books and ours differ, and what that means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from actors.api.answers import encode
from actors.doctor.ledger_file import Accepted, BadLine, read_ledger
from service.adapters.postgres.ledger import Bounds, Difference, Differing, PostgresLedger

Say = Callable[[str], None]

AT_ONCE = 10_000
"""Keys that are handed to the database together."""

SHOWN = 20
"""Keys of each kind that are listed for people; `--json` lists them all."""

MENDED = "accepted, according to the email service's ledger"
"""The reason that a mended message shows."""

MEANINGS = {
    Difference.TWICE: "accepted there more than once: these people were greeted twice",
    Difference.NOT_SENT_HERE: "accepted there, not sent here: a redrive would greet these people again",
    Difference.NOT_OURS: "accepted there, no message here: of another cluster, or planned after a backup was made",
    Difference.NOT_ACCEPTED_THERE: "sent here, not in the ledger: these people may not have been greeted",
}


async def compare(
    ledger: PostgresLedger,
    file: Path,
    *,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    say: Say,
) -> bool:
    """Load the file and say what differs; True when nothing does. Raises Unavailable, OSError."""
    bad = await _load(ledger, file, say)
    bounds = await ledger.bounds()
    since, until = since or bounds.first, until or bounds.last
    if not as_json:
        _introduce(bounds, since, until, say)
    differences = {one: await _list(ledger, one, since, until, as_json, say) for one in Difference}
    if not as_json:
        say("Nothing differs." if not any(differences.values()) and not bad else _sum(differences, bad))
    return not any(differences.values()) and not bad


async def mend(ledger: PostgresLedger, *, incarnation: int, say: Say) -> None:
    """Record as sent what is unknown here and accepted there. Raises Unavailable."""
    mended = 0
    while moved := await ledger.mend(incarnation=incarnation, reason=MENDED):
        mended += moved
    say(f"Mended: {mended} messages were unknown here and accepted there; they are sent now.")


async def _load(ledger: PostgresLedger, file: Path, say: Say) -> int:
    batch: list[Accepted] = []
    bad = 0
    for number, line in read_ledger(file):
        if isinstance(line, BadLine):
            bad += 1
            if bad <= SHOWN:
                say(encode({"line": number, "error": str(line)}).decode())
            continue
        batch.append(line)
        if len(batch) == AT_ONCE:
            await ledger.add(batch)
            batch = []
    await ledger.add(batch)
    return bad


def _introduce(bounds: Bounds, since: datetime | None, until: datetime | None, say: Say) -> None:
    say(f"The ledger has {bounds.lines} acceptances of {bounds.keys} keys.")
    covered = " ".join(
        f"{word} {instant.isoformat(timespec='seconds')}"
        for word, instant in (("from", since), ("to", until))
        if instant is not None
    )
    say(f"It is compared with what was sent here {covered or 'at any time'}.")


async def _list(
    ledger: PostgresLedger,
    difference: Difference,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    say: Say,
) -> int:
    count = 0
    async for one in ledger.differing(difference, since, until):
        count += 1
        if as_json:
            say(encode(_fields(one)).decode())
        elif count <= SHOWN:
            if count == 1:
                say(f"\n{MEANINGS[difference]}")
            say("  " + ", ".join(f"{name} {value}" for name, value in _fields(one).items() if value is not None))
    return count


def _fields(one: Differing) -> dict[str, object]:
    return {
        "difference": one.difference,
        "id": one.id,
        "times": one.times,
        "status": one.status,
        "reason": one.reason,
        "at": one.at,
    }


def _sum(differences: dict[Difference, int], bad: int) -> str:
    counts = [f"{count} {difference.replace('_', ' ')}" for difference, count in differences.items() if count]
    return "\nDiffering: " + ", ".join(counts + ([f"{bad} lines not understood"] if bad else [])) + "."
