"""An import of many users in one request: rows a second, and the memory of the node meanwhile.

    python -m loadtest.imports --rows 100000 --rounds 3

The rows are streamed from a process of their own (wrk cannot), on the same machine as the node and PostgreSQL, which
come as for loadtest/api.py. Every row has a birthday. A line that is not answered with 201 ends the tool with
exit code 1.
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
"""Lines of one piece of the body."""

LOOK_EVERY = 0.05
"""Seconds between two looks at the node's memory."""

ROW = (
    '{{"firstName":"Ada","lastName":"Lovelace","email":"{prefix}{number}@example.com","timezone":"{zone}",'
    '"birthdayDate":"1990-{month:02}-{day:02}","locationCity":"London"}}\n'
)

ZONES = ("Europe/London", "Asia/Tokyo", "America/New_York", "Australia/Melbourne", "UTC")


def body(rows: int) -> Iterator[bytes]:
    """The document, in pieces."""
    prefix = uuid.uuid4().hex[:12]
    for start in range(0, rows, LINES_AT_ONCE):
        yield "".join(
            ROW.format(prefix=prefix, number=n, zone=ZONES[n % 5], month=n % 12 + 1, day=n % 28 + 1)
            for n in range(start, min(rows, start + LINES_AT_ONCE))
        ).encode()


async def send(url: str, rows: int) -> dict[str, float]:
    """Import so many; the seconds it took, and how many lines were not answered with 201."""
    pieces = list(body(rows))

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    made = 0
    began = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=600)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url + IMPORT, data=stream(), headers={"Content-Type": "application/x-ndjson"}) as response,
    ):
        async for line in response.content:
            made += b'"status":201' in line
    return {"seconds": time.perf_counter() - began, "errors": rows - made}


async def measured(running: Servers, target: Target, rows: int) -> dict[str, float]:
    """One import's figures: megabytes of memory before, at the most and after; microseconds of processor a row."""
    sender = [sys.executable, "-m", "loadtest.imports", "--rows", str(rows), "--send-to", target.url]
    before = memory(target.pid)
    used = cpu(target.pid), cpu(running.postgres.pid)
    process = await asyncio.create_subprocess_exec(*sender, stdout=asyncio.subprocess.PIPE)
    saying = asyncio.ensure_future(process.communicate())
    most = before
    while not saying.done():
        await asyncio.wait([saying], timeout=LOOK_EVERY)
        most = max(most, memory(target.pid))
    said, _ = await saying
    sent = json.loads(said)
    node, postgres = cpu(target.pid) - used[0], cpu(running.postgres.pid) - used[1]
    return {
        "per_second": rows / sent["seconds"],
        "errors": sent["errors"],
        "cpu_microseconds": node / rows * 1e6,
        "postgres_microseconds": postgres / rows * 1e6,
        "memory_before": before / 1e6,
        "memory_most": most / 1e6,
        "memory_after": memory(target.pid) / 1e6,
    }


async def measure(args: argparse.Namespace) -> list[dict[str, float]]:
    """The figures of every round, after a short import that is not counted."""
    rounds = []
    async with servers.running(rabbitmq=False) as running:
        dsn = await running.database()
        async with serving(running, dsn, "off") as target:
            await measured(running, target, 2_000)
            for _ in range(args.rounds):
                rounds.append(await measured(running, target, args.rows))
                sys.stderr.write(f"round {len(rounds)}: {json.dumps(rounds[-1])}\n")
    return rounds


def report(args: argparse.Namespace, rounds: list[dict[str, float]]) -> str:
    """A Markdown table of the medians."""
    median = {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
    return "\n".join(
        (
            f"{args.rows} rows in one request; medians of {len(rounds)}",
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
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    parser.add_argument("--send-to", metavar="URL", help="only import into the node there, and say how long it took")
    args = parser.parse_args()
    if args.send_to:
        sys.stdout.write(json.dumps(uvloop.run(send(args.send_to, args.rows))) + "\n")
        return
    rounds = uvloop.run(measure(args))
    sys.stdout.write(report(args, rounds))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")
    if any(one["errors"] for one in rounds):
        sys.exit(1)


if __name__ == "__main__":
    main()
