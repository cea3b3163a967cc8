"""Measures an import of many users in one request: rows per second, and the memory of the node.

    python -m loadtest.imports --rows 100000 --rounds 3
    python -m loadtest.imports --rows 100000 --csv --again
    python -m loadtest.imports --rows 100000 --again --change

The rows are streamed from another process (wrk cannot do this), on the same machine as the node and PostgreSQL, which
are started as for loadtest/api.py. Every row has a birthday. A line that is not answered with 201 gives
exit code 1. With --again each import is sent a second time with onConflict=update, and every row must be unchanged.
With --change each row of the second time has another birthday, and every row must be updated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

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


def body(rows: int, *, csv: bool = False) -> Iterator[bytes]:
    """Yield the body in chunks."""
    prefix = uuid.uuid4().hex[:12]
    row = CSV_ROW if csv else ROW
    if csv:
        yield CSV_HEADER.encode()
    for start in range(0, rows, LINES_AT_ONCE):
        yield "".join(
            row.format(prefix=prefix, number=n, zone=ZONES[n % 5], month=n % 12 + 1, day=n % 28 + 1)
            for n in range(start, min(rows, start + LINES_AT_ONCE))
        ).encode()


async def send(url: str, rows: int, *, csv: bool, again: bool, change: bool = False) -> dict[str, float]:
    """Import the rows; return the seconds, and the number of lines not answered as they should be."""
    pieces = list(body(rows, csv=csv))
    headers = {"Content-Type": "text/csv" if csv else "application/x-ndjson"}

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def once(query: str, expected: bytes) -> tuple[float, int]:
        found = 0
        began = time.perf_counter()
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as http,
            http.post(url + IMPORT + query, data=stream(), headers=headers) as response,
        ):
            async for line in response.content:
                found += expected in line
        return time.perf_counter() - began, rows - found

    seconds, errors = await once("", b'"status":201')
    if not again:
        return {"seconds": seconds, "errors": errors}
    if change:
        pieces = [piece.replace(b"1990-", b"1991-") for piece in pieces]
    seconds_again, errors_again = await once("?onConflict=update", b'"updated"' if change else b'"unchanged"')
    return {"seconds": seconds, "errors": errors + errors_again, "seconds_again": seconds_again}


async def measured(
    running: Servers, target: Target, rows: int, *, csv: bool = False, again: bool = False, change: bool = False
) -> dict[str, float]:
    """Return the figures of one import: memory before, maximum and after in MB; processor time per row in µs."""
    sender = [sys.executable, "-m", "loadtest.imports", "--rows", str(rows), "--send-to", target.url]
    sender += ["--csv"] * csv + ["--again"] * again + ["--change"] * change
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
            await measured(running, target, 2_000)
            for _ in range(args.rounds):
                rounds.append(
                    await measured(running, target, args.rows, csv=args.csv, again=args.again, change=args.change)
                )
                sys.stderr.write(f"round {len(rounds)}: {json.dumps(rounds[-1])}\n")
    return rounds


def report(args: argparse.Namespace, rounds: list[dict[str, float]]) -> str:
    """Return a Markdown table of the medians."""
    median = {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
    kind = "CSV" if args.csv else "NDJSON"
    effect = "updated" if args.change else "unchanged"
    again = f"; again, {effect}: {median['again_per_second']:.0f}/s" if args.again else ""
    return "\n".join(
        (
            f"{args.rows} rows of {kind} in one request; medians of {len(rounds)}{again}",
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
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    parser.add_argument("--send-to", metavar="URL", help="only import into this node, and print the duration")
    args = parser.parse_args()
    if args.send_to:
        sys.stdout.write(
            json.dumps(uvloop.run(send(args.send_to, args.rows, csv=args.csv, again=args.again, change=args.change)))
            + "\n"
        )
        return
    rounds = uvloop.run(measure(args))
    sys.stdout.write(report(args, rounds))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")
    if any(one["errors"] for one in rounds):
        sys.exit(1)


if __name__ == "__main__":
    main()
