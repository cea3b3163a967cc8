"""The scenario of attacks: two nodes greet and answer while one of them is attacked."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg

from loadtest.api import serving
from loadtest.bench import bench
from loadtest.probe import Answers, probing
from loadtest.programs import program
from loadtest.stress.attacks import ATTACKS
from loadtest.stress.greetings import Greetings
from loadtest.stress.scenario import Check, Outcome, Setting, at_least, at_most, none

QUIET = "no attack"
"""The first case, for comparison."""

CASES = (QUIET, *ATTACKS)

WAVE = 2_000
LATE_LIMIT = 2.0
"""Seconds from the due instant to the last greeting."""

LIVE_LIMIT = 0.1
"""Seconds within which 99 of 100 answers of `/health/live` come."""

LIVE_EVERY = 0.05
ATTACK_AT_LEAST = 4.0
"""Seconds of each attack at least, so that the greetings become due and leave during it."""

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10)

REQUESTS_PER_SECOND = 10.0
IMPORT_EVERY = 2.0
IMPORT_ROWS = 20
IMPORT_WITHIN = aiohttp.ClientTimeout(total=20)

ATTACKER, CLIENT = "key-of-the-attacker", "key-of-the-other-client"

DEATHS = ('"node_died"', '"node_evicted"')
"""Log events of a node that others declared dead."""


@dataclass(slots=True)
class Case:
    """The figures of one attack."""

    name: str
    live: Answers = field(default_factory=Answers)
    client: Answers = field(default_factory=Answers)
    imports: Answers = field(default_factory=Answers)
    last: float = 0.0
    """Seconds from the due instant to the last greeting."""
    deaths: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Connections of the attack, and its answers by status code."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the limits of this attack."""
        live = at_most(f"{self.name}: p99 of /health/live", self.live.p99 * 1000, LIVE_LIMIT * 1000, " ms")
        return (
            *(
                (at_least(f"{self.name}: connections", self.counts.get("connections", 0), 1),)
                if self.name != QUIET
                else ()
            ),
            at_most(f"{self.name}: last of {WAVE} greetings", self.last, LATE_LIMIT, " s", digits=2),
            live,
            none(f"{self.name}: /health/live without an answer", self.live.errors),
            none(f"{self.name}: nodes declared dead", self.deaths),
            none(f"{self.name}: requests of another key without success", self.client.errors),
            none(f"{self.name}: imports of another key without success", self.imports.errors),
            at_least(f"{self.name}: imports of another key", len(self.imports.seconds), 1),
        )


async def abuse(setting: Setting) -> Outcome:
    """Attack one of two nodes in every way, one after another."""
    seconds = max(ATTACK_AT_LEAST, setting.minutes * 60 / len(CASES))
    async with bench(keep=WAVE * len(CASES) * 2) as running, running.database() as dsn:
        greetings = Greetings(running, dsn, WAVE * len(CASES))
        await greetings.sign_up()
        connection = await asyncpg.connect(dsn)
        known = [row["id"] for row in await connection.fetch("select id::text from users limit 100")]
        await connection.close()
        await running.behave(latency=0.02)
        log = running.servers.place / "node.log"
        settings = {"EMAIL_URL": running.stub_url, "LOG_LEVEL": "warning", "API_KEYS": f"{ATTACKER},{CLIENT}"}
        cases: list[Case] = []
        async with (
            serving(running.servers, dsn, "100/s", settings) as attacked,
            serving(running.servers, dsn, "100/s", settings),
        ):
            for name in CASES:
                case = Case(name)
                before, done = deaths(log), len(await running.accepted_at())
                due = datetime.now(UTC) + timedelta(seconds=seconds / 2)
                await greetings.put(WAVE, due)
                async with watching(attacked.url, known, case):
                    if name == QUIET:
                        await asyncio.sleep(seconds)
                    else:
                        case.counts = await attack(attacked.url, name, seconds)
                await greetings.gone()
                accepted = (await running.accepted_at())[done:]
                case.last = max(accepted, default=float("inf")) - due.timestamp()
                case.deaths = deaths(log) - before
                cases.append(case)
                sys.stderr.write(table([case]).splitlines()[-1] + "\n")
        books = await greetings.checks()
    return Outcome((*(check for case in cases for check in case.checks), *books), table(cases))


async def attack(url: str, name: str, seconds: float) -> dict[str, int]:
    """Attack from a process of its own, and return its counts."""
    words = [url, name, "--key", ATTACKER, "--seconds", f"{seconds:g}"]
    async with program("loadtest.stress.attacks", *words) as process:
        said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the attack {name} ended with {process.returncode}")
    found: dict[str, int] = json.loads(said)
    return found


def deaths(log: Path) -> int:
    """Return the number of lines about nodes that others declared dead."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return sum(any(event in line for event in DEATHS) for line in lines)


@asynccontextmanager
async def watching(url: str, known: list[str], case: Case) -> AsyncIterator[None]:
    """During the block, ask `/health/live`, make requests with another key, and import with it."""
    headers = {"Authorization": f"Bearer {CLIENT}"}
    async with (
        aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(force_close=True), timeout=REQUEST_TIMEOUT) as http,
        aiohttp.ClientSession(url, timeout=IMPORT_WITHIN, headers=headers) as client,
        probing(url, known, case.client, per_second=REQUESTS_PER_SECOND, headers=headers),
    ):
        watchers = [
            asyncio.ensure_future(repeat(case.live, LIVE_EVERY, lambda: live(http))),
            asyncio.ensure_future(repeat(case.imports, IMPORT_EVERY, lambda: imported(client))),
        ]
        try:
            yield
        finally:
            for one in watchers:
                one.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
    for one in watchers:
        if not one.cancelled() and (error := one.exception()) is not None:
            raise error


async def repeat(answers: Answers, every: float, ask: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, and keep durations and failures. A failure of the connection is one, too."""
    while True:
        began = time.perf_counter()
        try:
            good = await ask()
        except (aiohttp.ClientError, TimeoutError):
            good = False
        took = time.perf_counter() - began
        answers.seconds.append(took)
        answers.errors += not good
        await asyncio.sleep(max(0.0, every - took))


async def live(http: aiohttp.ClientSession) -> bool:
    """Return True if the node says on a new connection that it lives."""
    async with http.get("/health/live") as response:
        return response.status == 200


async def imported(client: aiohttp.ClientSession) -> bool:
    """Return True if every row of an import is created."""
    rows = "".join(
        json.dumps({"firstName": "Ada", "lastName": "Row", "email": f"{uuid4().hex}@example.com", "timezone": "UTC"})
        + "\n"
        for _ in range(IMPORT_ROWS)
    )
    headers = {"Content-Type": "application/x-ndjson"}
    async with client.post("/api/v1/users:import", data=rows, headers=headers) as response:
        results = [json.loads(line) async for line in response.content]
    return [one["status"] for one in results] == [201] * IMPORT_ROWS


def table(cases: list[Case]) -> str:
    """Return a Markdown table of every attack."""
    lines = [
        f"| attack | last of {WAVE} greetings, s | `/health/live` p50, p99, longest, ms | other key: p99, ms; imports "
        "| connections and answers of the attack |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in cases:
        asked = sorted(case.live.seconds)
        middle, longest = asked[len(asked) // 2] * 1000, asked[-1] * 1000
        counts = ", ".join(f"{name} {count}" for name, count in sorted(case.counts.items()))
        lines.append(
            f"| {case.name} | {case.last:.2f} | {middle:.0f}, {case.live.p99 * 1000:.0f}, {longest:.0f} "
            f"| {case.client.p99 * 1000:.0f}; {len(case.imports.seconds)} | {counts} |"
        )
    return "\n".join(lines)
