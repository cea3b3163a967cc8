"""Measures the API of one node under load, beside a bare aiohttp handler that makes the same INSERT.

    python -m loadtest.api --rounds 3 --seconds 10 --connections 1000

Every round puts each load in turn on the bare handler (loadtest/bare_api.py) or on a node with its defaults (its rate
limit is off but in the case `limited`), on the same PostgreSQL, from the wheel and with durable data. Requests come
from wrk where it is installed, else from loadtest/client.py. Everything is on loopback, and shares the machine's cores:
only the ratios within one run mean something. Any error counts, and ends the tool with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import asyncpg
import uvloop

from actors.commands.sandbox.servers.ports import LOOPBACK, free_port
from loadtest import servers
from loadtest.generator import Load, generator, put
from loadtest.programs import cpu, last_word, node, program
from loadtest.servers import Servers

USERS = "/api/v1/users"

KNOWN = 1_000
"""Users that exist before the load and are read."""

WARM_UP = 4
"""Seconds of load before the measurement: the first pages of 500 users for a thousand clients take two seconds."""

SETTLE = 1.0
"""Seconds between two loads, in which the last requests of the first are answered."""

READY_WITHIN = 120.0
"""Seconds for a node to start."""

CASES = {
    "bare": "POST to the bare handler",
    "create": "POST /users",
    "keyed": "POST /users, Idempotency-Key",
    "limited": "POST /users, rate limit on",
    "bare read": "GET from the bare handler",
    "read": "GET /users/{id}",
    "page": "GET /users?limit=50",
    "page500": "GET /users?limit=500",
}

BESIDE = {"read": "bare read"}
"""The case that each case is compared with. Cases that are not listed are compared with `bare`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: its URL and its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers that receive the loads."""

    servers: Servers
    targets: dict[str, Target]
    """The bare handler, the node, and the node whose rate limit is on."""
    known: tuple[str, ...]
    """Return the ids of existing users."""

    def load(self, case: str) -> tuple[Target, Load]:
        """Return the load of a case and its target."""
        match case:
            case "bare":
                return self.targets["bare"], Load("POST", (USERS,))
            case "bare read":
                return self.targets["bare"], Load("GET", self._paths())
            case "read":
                return self.targets["node"], Load("GET", self._paths())
            case "page" | "page500":
                return self.targets["node"], Load("GET", (f"{USERS}?limit={case[4:] or 50}",))
            case _:
                return self.targets["limited" if case == "limited" else "node"], Load("POST", (USERS,), case == "keyed")

    def _paths(self) -> tuple[str, ...]:
        return tuple(f"{USERS}/{user_id}" for user_id in self.known)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Start servers, handler and nodes on one database."""
    async with servers.running(rabbitmq=False) as running:
        dsn = await running.database()
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch(
            "insert into users (first_name, last_name, email, email_key, timezone)"
            " select 'Ada', 'No ' || n, n || '@a.test', n || '@a.test', 'UTC' from generate_series(1, $1) n"
            " returning id::text",
            KNOWN,
        )
        await connection.close()
        async with (
            program("loadtest.bare_api", dsn) as bare,
            serving(running, dsn, "off") as plain,
            serving(running, dsn, "1000000/s") as limited,
        ):
            targets = {"bare": Target(await last_word(bare), bare.pid), "node": plain, "limited": limited}
            yield Bench(running, targets, tuple(row["id"] for row in rows))


@asynccontextmanager
async def serving(
    running: Servers,
    dsn: str,
    rate_limit: str,
    settings: Mapping[str, str] | None = None,
    *,
    under: Sequence[str] = (),
) -> AsyncIterator[Target]:
    """Start a node and wait until it is ready; `settings` are named without `HEYDAY_`, and `under` is as of `node`."""
    port = free_port()
    given = {"BIND": f"{LOOPBACK}:{port}", "EMAIL_URL": f"http://{LOOPBACK}:1", "RATE_LIMIT": rate_limit}
    async with node(running, dsn, given | dict(settings or {}), log=running.place / "node.log", under=under) as process:
        target = Target(f"http://{LOOPBACK}:{port}", process.pid)
        async with asyncio.timeout(READY_WITHIN), aiohttp.ClientSession(target.url) as http:
            while not await _ready(http):
                if process.returncode is not None:
                    raise RuntimeError((running.place / "node.log").read_text(encoding="utf-8")[-2_000:])
                await asyncio.sleep(0.1)
        yield target


async def _ready(http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get("/health/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def measured(bench: Bench, case: str, args: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one load; processor times are microseconds per request."""
    target, load = bench.load(case)
    postgres = bench.servers.postgres.pid
    before = cpu(target.pid), cpu(postgres)
    answered = await put(load, target.url, bench.servers.place, connections=args.connections, seconds=args.seconds)
    await asyncio.sleep(SETTLE)
    used = cpu(target.pid) - before[0], cpu(postgres) - before[1]
    return asdict(answered) | {
        name: seconds / max(1, answered.requests) * 1e6
        for name, seconds in zip(("cpu_microseconds", "postgres_microseconds"), used, strict=True)
    }


Round = dict[str, dict[str, float]]


async def measure(args: argparse.Namespace) -> list[Round]:
    """Return the figures of every round: each case in turn, after a short warm-up."""
    rounds: list[Round] = []
    async with bench() as running:
        warm = argparse.Namespace(connections=args.connections, seconds=WARM_UP)
        for case in args.cases:
            await measured(running, case, warm)
        for _ in range(args.rounds):
            rounds.append({case: await measured(running, case, args) for case in args.cases})
            sys.stderr.write(f"round {len(rounds)}: {json.dumps(rounds[-1])}\n")
    return rounds


def report(args: argparse.Namespace, rounds: list[Round]) -> str:
    """Return a Markdown table of the medians."""

    def median(case: str, figure: str) -> float:
        return statistics.median(one[case][figure] for one in rounds)

    def ratio(case: str) -> str:
        beside = BESIDE.get(case, "bare")
        if beside not in args.cases:
            return ""
        return f"{statistics.median(one[case]['per_second'] / one[beside]['per_second'] for one in rounds):.2f}"

    def row(case: str) -> str:
        times = ", ".join(f"{median(case, share) * 1000:.0f}" for share in ("p50", "p95", "p99"))
        used = f"{median(case, 'cpu_microseconds'):.0f}, {median(case, 'postgres_microseconds'):.0f}"
        errors = sum(one[case]["errors"] for one in rounds)
        return f"| {CASES[case]} | {median(case, 'per_second'):.0f} | {ratio(case)} | {times} | {used} | {errors:.0f} |"

    return "\n".join(
        (
            f"{args.connections} connections, {args.seconds:g} s a load, {generator()}; medians of {len(rounds)}",
            "",
            "| | requests/s | of bare | p50, p95, p99, ms | CPU µs a request: server, PostgreSQL | errors |",
            "| --- | --- | --- | --- | --- | --- |",
            *map(row, args.cases),
            "",
        )
    )


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="seconds of each load (%(default)s)")
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    args = parser.parse_args()
    rounds = uvloop.run(measure(args))
    sys.stdout.write(report(args, rounds))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1), encoding="utf-8")
    if any(figures["errors"] for one in rounds for figures in one.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
