"""Runs `heyday doctor --ledger FILE`: compares the ledger of the email service with the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from actors.commands.doctor.ledger_file import Accepted, BadLine, read_ledger
from actors.commands.output import counted
from actors.commands.principal import command_line
from actors.commands.progress import Progress
from service.adapters.postgres.ledger import Bounds, Difference, Differing, PostgresLedger
from service.api.http.json_text import encode

Say = Callable[[str], None]

BATCH_SIZE = 10_000
"""Keys in one statement."""

SHOWN = 20
"""Keys of each kind that are listed as text. `--json` lists all."""

MENDED = "accepted, according to the email service's ledger"
"""The status reason of a message that the ledger settles."""

MEANINGS = {
    Difference.TWICE: "accepted there more than once: these users were greeted twice",
    Difference.NOT_SENT_HERE: "accepted there, not sent here: a redrive would greet these users again",
    Difference.NOT_OURS: "accepted there, no message here: of another cluster, or planned after a backup was made",
    Difference.NOT_ACCEPTED_THERE: "sent here, not in the ledger: these users may not have been greeted",
}


async def compare(
    ledger: PostgresLedger,
    lines: Iterable[str],
    *,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    say: Say,
) -> bool:
    """Load the lines of the file and write the differences. True if there are none. Raises Unavailable, OSError."""
    bad = await _load(ledger, lines, say)
    bounds = await ledger.bounds()
    since, until = since or bounds.first, until or bounds.last
    if not as_json:
        _introduce(bounds, since, until, say)
    differences = {one: await _list(ledger, one, since, until, as_json, say) for one in Difference}
    if not as_json:
        say("Nothing differs." if not any(differences.values()) and not bad else _sum(differences, bad))
    return not any(differences.values()) and not bad


async def mend(ledger: PostgresLedger, *, incarnation: int, as_json: bool, say: Say) -> None:
    """Record as sent the messages that are unknown here and accepted there. Raises Unavailable."""
    mended = 0
    with Progress("recording messages as sent") as progress:
        while moved := await ledger.mend(incarnation=incarnation, reason=MENDED, by=command_line()):
            mended += moved
            progress.advance(moved)
    if as_json:
        say(encode({"mended": mended}).decode())
    else:
        say(f"Mended: {counted(mended, 'message')} unknown here and accepted there. Recorded as sent.")


async def _load(ledger: PostgresLedger, lines: Iterable[str], say: Say) -> int:
    batch: list[Accepted] = []
    bad: list[str] = []
    count = 0
    with Progress("reading the ledger, lines") as progress:
        for number, line in read_ledger(lines):
            if isinstance(line, BadLine):
                count += 1
                if count <= SHOWN:
                    bad.append(encode({"line": number, "error": str(line)}).decode())
                continue
            batch.append(line)
            if len(batch) == BATCH_SIZE:
                await ledger.add(batch)
                progress.advance(len(batch))
                batch = []
        await ledger.add(batch)
    for error in bad:
        say(error)
    return count


def _introduce(bounds: Bounds, since: datetime | None, until: datetime | None, say: Say) -> None:
    say(f"The ledger has {counted(bounds.lines, 'acceptance')} of {counted(bounds.keys, 'key')}.")
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
    return "\nDiffering: " + ", ".join(counts + ([f"{bad} unreadable lines"] if bad else [])) + "."
