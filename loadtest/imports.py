"""Measures an import of many users in one request: rows per second, and the memory of the node.

    python -m loadtest.imports --rows 100000 --rounds 3
    python -m loadtest.imports --rows 100000 --csv --again
    python -m loadtest.imports --rows 100000 --again --change
    python -m loadtest.imports --rows 100000 --again --broken 1
    python -m loadtest.imports --rows 100000 --csv --again --broken 1 --command

The rows are streamed from another process (wrk cannot do this), on the same machine as the node and PostgreSQL, which
are started as for loadtest/api.py. Every row has a birthday. A line that is not answered with 201 gives
exit code 1. With --again each import is sent a second time with onConflict=update, and every row must be unchanged.
With --change each row of the second time has another birthday, and every row must be updated.
With --broken some rows of a hundred have a time zone that does not exist. Each of them, and no other, must be refused,
by its line and with the reason. With --command the rows are in a file, which `heyday import` sends.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import uvloop

from loadtest import servers
from loadtest.api import Target, serving
from loadtest.programs import cpu, memory
from loadtest.servers import Servers

IMPORT = "/api/v1/users:import"

LINES_AT_ONCE = 500
"""Lines in one chunk of the body."""

MEMORY_INTERVAL = 0.05
"""Seconds between two readings of the node's memory."""

ROW = (
    '{{"firstName":"Ada","lastName":"Lovelace","email":"{prefix}{number}@example.com","timezone":"{zone}",'
    '"birthdayDate":"1990-{month:02}-{day:02}","locationCity":"London"}}\n'
)

CSV_HEADER = "firstName,lastName,email,timezone,birthdayDate,locationCity\n"

CSV_ROW = "Ada,Lovelace,{prefix}{number}@example.com,{zone},1990-{month:02}-{day:02},London\n"

ZONES = ("Europe/London", "Asia/Tokyo", "America/New_York", "Australia/Melbourne", "UTC")


BROKEN_ZONE = "Europe/Atlantis"


def is_broken(number: int, percent: int) -> bool:
    """True for the rows that are to be refused: `percent` of a hundred, from 0 on."""
    return number % 100 < percent


def body(rows: int, *, as_csv: bool = False, broken: int = 0) -> Iterator[bytes]:
    """Yield the body in chunks. `broken` rows of a hundred are refused."""
    prefix = uuid.uuid4().hex[:12]
    row = CSV_ROW if as_csv else ROW
    if as_csv:
        yield CSV_HEADER.encode()
    for start in range(0, rows, LINES_AT_ONCE):
        yield "".join(
            row.format(
                prefix=prefix,
                number=n,
                zone=BROKEN_ZONE if is_broken(n, broken) else ZONES[n % 5],
                month=n % 12 + 1,
                day=n % 28 + 1,
            )
            for n in range(start, min(rows, start + LINES_AT_ONCE))
        ).encode()


@dataclass(frozen=True, slots=True)
class Import:
    """The rows to send: `broken` of a hundred are refused; `command`: sent by `heyday import`."""

    rows: int
    csv: bool = False
    again: bool = False
    change: bool = False
    broken: int = 0
    command: bool = False

    @property
    def first_line(self) -> int:
        """The line of the first row."""
        return 2 if self.csv else 1

    @property
    def refused(self) -> set[int]:
        """The lines that must be refused."""
        return {number + self.first_line for number in range(self.rows) if is_broken(number, self.broken)}


async def send(url: str, wanted: Import) -> dict[str, float]:
    """Import the rows; return the seconds, and the number of lines not answered as they should be."""
    once = by_command if wanted.command else by_request
    pieces = list(body(wanted.rows, as_csv=wanted.csv, broken=wanted.broken))
    seconds, errors = await once(url, wanted, pieces, "created")
    if not wanted.again:
        return {"seconds": seconds, "errors": errors}
    if wanted.change:
        pieces = [piece.replace(b"1990-", b"1991-") for piece in pieces]
    seconds_again, errors_again = await once(url, wanted, pieces, "updated" if wanted.change else "unchanged")
    return {"seconds": seconds, "errors": errors + errors_again, "seconds_again": seconds_again}


async def by_request(url: str, wanted: Import, pieces: list[bytes], outcome: str) -> tuple[float, int]:
    """Send the rows in one request; return the seconds and the lines not answered as they should be."""
    headers = {"Content-Type": "text/csv" if wanted.csv else "application/x-ndjson"}
    query = "" if outcome == "created" else "?onConflict=update"
    expected = b'"status":201' if outcome == "created" else f'"result":"{outcome}"'.encode()

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    found, refused = 0, set()
    began = time.perf_counter()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as http,
        http.post(url + IMPORT + query, data=stream(), headers=headers) as response,
    ):
        async for line in response.content:
            if expected in line:
                found += 1
            elif b'"field":"timezone"' in line:
                refused.add(json.loads(line)["line"])
    seconds = time.perf_counter() - began
    return seconds, wanted.rows - len(wanted.refused) - found + len(wanted.refused ^ refused)


async def by_command(url: str, wanted: Import, pieces: list[bytes], outcome: str) -> tuple[float, int]:
    """Send the rows with `heyday import`; return the seconds and the lines not answered as they should be."""
    with TemporaryDirectory() as folder:
        file, refusals = _file(folder, wanted, pieces), Path(folder, "refused")
        arguments = ["import", str(file), "--url", url, "--refused", str(refusals), "--json"]
        arguments += ["--on-conflict", "update"] * (outcome != "created")
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "actors.cli", *arguments), stdout=asyncio.subprocess.PIPE
        )
        counts = json.loads((await process.communicate())[0])
        seconds = time.perf_counter() - began
        refused = _refused_lines(refusals, wanted)
    return seconds, wanted.rows - len(wanted.refused) - counts[outcome] + len(wanted.refused ^ refused)


def _file(folder: str, wanted: Import, pieces: list[bytes]) -> Path:
    """Write the rows to a file."""
    file = Path(folder, "users.csv" if wanted.csv else "users.ndjson")
    file.write_bytes(b"".join(pieces))
    return file


def _refused_lines(refusals: Path, wanted: Import) -> set[int]:
    """The lines that were refused for their time zone."""
    with refusals.open(encoding="utf-8", newline="") as given:
        rows = csv.DictReader(given) if wanted.csv else map(json.loads, given)
        return {int(row["line"]) for row in rows if "time zone" in row["reason"]}


async def measured(running: Servers, target: Target, wanted: Import) -> dict[str, float]:
    """Return the figures of one import: memory before, maximum and after in MB; processor time per row in µs."""
    rows, again = wanted.rows, wanted.again
    sender = [sys.executable, "-m", "loadtest.imports", "--send-to", target.url, "--wanted", json.dumps(asdict(wanted))]
    before = memory(target.pid)
    used = cpu(target.pid), cpu(running.postgres.pid)
    process = await asyncio.create_subprocess_exec(*sender, stdout=asyncio.subprocess.PIPE)
    saying = asyncio.ensure_future(process.communicate())
    most = before
    while not saying.done():
        await asyncio.wait([saying], timeout=MEMORY_INTERVAL)
        most = max(most, memory(target.pid))
    said, _ = await saying
    sent = json.loads(said)
    node, postgres = cpu(target.pid) - used[0], cpu(running.postgres.pid) - used[1]
    return {
        "per_second": rows / sent["seconds"],
        **({"again_per_second": rows / sent["seconds_again"]} if again else {}),
        "errors": sent["errors"],
        "cpu_microseconds": node / rows * 1e6,
        "postgres_microseconds": postgres / rows * 1e6,
        "memory_before": before / 1e6,
        "memory_most": most / 1e6,
        "memory_after": memory(target.pid) / 1e6,
    }


async def measure(args: argparse.Namespace) -> list[dict[str, float]]:
    """Return the figures of every round, after a short warm-up import."""
    rounds = []
    async with servers.running(rabbitmq=False) as running:
        dsn = await running.database()
        async with serving(running, dsn, "off") as target:
            await measured(running, target, Import(2_000))
            wanted = Import(args.rows, args.csv, args.again, args.change, args.broken, args.command)
            for _ in range(args.rounds):
                rounds.append(await measured(running, target, wanted))
                sys.stderr.write(f"round {len(rounds)}: {json.dumps(rounds[-1])}\n")
    return rounds


def report(args: argparse.Namespace, rounds: list[dict[str, float]]) -> str:
    """Return a Markdown table of the medians."""
    median = {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
    kind = "CSV" if args.csv else "NDJSON"
    effect = "updated" if args.change else "unchanged"
    again = f"; again, {effect}: {median['again_per_second']:.0f}/s" if args.again else ""
    way = "by `heyday import`" if args.command else "in one request"
    broken = f", {args.broken} of a hundred to be refused" if args.broken else ""
    return "\n".join(
        (
            f"{args.rows} rows of {kind} {way}{broken}; medians of {len(rounds)}{again}",
            "",
            "| users/s | CPU µs a row: node, PostgreSQL | memory of the node before, at most, after, MB | errors |",
            "| --- | --- | --- | --- |",
            f"| {median['per_second']:.0f} | {median['cpu_microseconds']:.0f}, {median['postgres_microseconds']:.0f} "
            f"| {median['memory_before']:.0f}, {median['memory_most']:.0f}, {median['memory_after']:.0f} "
            f"| {sum(one['errors'] for one in rounds):.0f} |",
            "",
        )
    )


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", action="store_true", help="send CSV instead of NDJSON")
    parser.add_argument("--again", action="store_true", help="send each import again; every row must be unchanged")
    parser.add_argument("--change", action="store_true", help="with --again: every row must be updated")
    parser.add_argument("--broken", type=int, default=0, metavar="PERCENT", help="so many rows must be refused")
    parser.add_argument("--command", action="store_true", help="send the rows with `heyday import` instead of by HTTP")
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    parser.add_argument("--send-to", metavar="URL", help=argparse.SUPPRESS)  # in the process that sends
    parser.add_argument("--wanted", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send_to:
        sys.stdout.write(json.dumps(uvloop.run(send(args.send_to, Import(**args.wanted)))) + "\n")
        return
    rounds = uvloop.run(measure(args))
    sys.stdout.write(report(args, rounds))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")
    if any(one["errors"] for one in rounds):
        sys.exit(1)


if __name__ == "__main__":
    main()
