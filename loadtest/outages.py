"""Lets the email service, PostgreSQL or API clients misbehave during a wave, and counts what becomes of the greetings.

    python -m loadtest.outages                              # every case at its full size, about ten minutes
    python -m loadtest.outages throttle wrong-key           # these cases
    python -m loadtest.outages outage --scale 500 --size 0.1 # a shorter outage, and a tenth of the greetings

`outage`: an hour without an accepted call, with every duration of the retries divided by `--scale`. `throttle`: the
service takes 100 calls a second and answers 429 to the rest. `wrong-key`: it answers 401 for a while. `lost-answers`:
the answers of PostgreSQL are lost six times, and `hold` keeps what is unknown. `drain`: a node is stopped while it
calls a slow service. `silent`: 600 silent connections to a node with 256 file descriptors.

It prints a Markdown table. The exit code is 1 if a greeting failed, is unknown, was lost, or was sent twice or early.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import uvloop

from actors.commands.chaos.faults.api import CONNECTIONS, DESCRIPTORS, silent_connections
from actors.commands.chaos.faults.connections import LOST_ANSWERS
from actors.commands.sandbox.servers.relay import relayed
from loadtest.api import Target, serving
from loadtest.bench import ASK_TIMEOUT, Bench, bench
from loadtest.programs import node
from loadtest.stress.greetings import Greetings

HOUR = 3_600.0
BACKOFF, BACKOFF_LIMIT, CIRCUIT_RESET = 1.0, 900.0, 15.0
"""Seconds: the defaults of a node, which `--scale` divides."""

LATENCY = 0.02
"""Seconds of the email service's answers."""

READY_IN = 3.0
"""Seconds from the making of the messages to their instant."""

END_WITHIN = 900.0
"""Seconds in which every message must have ended."""

CONCURRENCY = 100
"""Calls of a node at once, the default."""


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of one case; `what` says it in words."""

    what: str
    due: int
    sent: int
    failed: int
    unknown: int
    wrong: int
    """Greetings that were lost, early, twice or not on record."""
    refused: int
    """Calls that the service did not accept."""
    seconds: float
    """From the due instant to the last greeting."""

    @property
    def good(self) -> bool:
        """True if every greeting was sent, once."""
        return (self.sent, self.failed, self.unknown, self.wrong) == (self.due, 0, 0, 0)


class Stand:
    """The servers and the database of one case."""

    def __init__(self, running: Bench, dsn: str, people: int) -> None:
        self.bench = running
        self.dsn = dsn
        self.people = people
        self.greetings = Greetings(running, dsn, people)
        self.due_at = datetime.now(UTC)

    @asynccontextmanager
    async def nodes(
        self, count: int, *, dsn: str = "", under: Sequence[str] = (), **settings: str
    ) -> AsyncIterator[list[Target]]:
        """Start that many nodes with these settings, named without `HEYDAY_`, and wait until they are ready."""
        given = {"EMAIL_URL": self.bench.stub_url, "LOG_LEVEL": "warning", **settings}
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(serving(self.bench.servers, dsn or self.dsn, "off", given, under=under))
                for _ in range(count)
            ]

    async def put(self) -> None:
        """Make a message for every user, and wait until they are due."""
        self.due_at = datetime.now(UTC) + timedelta(seconds=READY_IN)
        await self.greetings.put(self.people, self.due_at)
        await asyncio.sleep(max(0.0, (self.due_at - datetime.now(UTC)).total_seconds()))

    async def answer(self, **options: Any) -> None:
        """Change the options of the fake email service."""
        async with aiohttp.ClientSession(self.bench.stub_url, timeout=ASK_TIMEOUT, raise_for_status=True) as http:
            await http.put("/options", json=options)

    async def count(self, *statuses: str) -> int:
        """Return the number of messages in these states."""
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetchval("select count(*) from messages where status = any($1::text[])", statuses)
        finally:
            await connection.close()
        return int(found)

    async def until_sent(self, share: float) -> None:
        """Wait until that share of the greetings is sent."""
        async with asyncio.timeout(END_WITHIN):
            while await self.count("sent") < share * self.people:
                await asyncio.sleep(0.02)

    async def ended(self, what: str) -> Found:
        """Wait until every message has ended, and return the figures."""
        async with asyncio.timeout(END_WITHIN):
            while await self.count("sent", "failed", "unknown", "expired", "cancelled") < self.people:
                await asyncio.sleep(0.1)
        verdict = await self.greetings.verdict()
        stats, at = await self.bench.stats(), await self.bench.accepted_at()
        sent, failed, unknown = [await self.count(status) for status in ("sent", "failed", "unknown")]
        wrong = verdict.lost + verdict.early + verdict.duplicates + verdict.unrecorded
        seconds = max(at, default=float("inf")) - self.due_at.timestamp()
        refused = int(stats["requests"] - stats["accepted"])
        return Found(what, self.people, sent, failed, unknown, wrong, refused, seconds)


async def outage(stand: Stand, scale: float) -> Found:
    """Answer 503 for an hour, in scaled time."""
    settings = {
        "EMAIL_BACKOFF": f"{BACKOFF / scale * 1000:.0f}ms",
        "EMAIL_BACKOFF_LIMIT": f"{BACKOFF_LIMIT / scale * 1000:.0f}ms",
        "CIRCUIT_RESET": f"{max(CIRCUIT_RESET / scale, 0.1) * 1000:.0f}ms",
    }
    async with stand.nodes(4, **settings):
        await stand.answer(down=True)
        await stand.put()
        await asyncio.sleep(HOUR / scale)
        await stand.answer(down=False)
        return await stand.ended(f"503 for an hour in time 1:{scale:g}, 4 nodes")


async def throttle(stand: Stand, _scale: float) -> Found:
    """Take 100 calls a second, and answer 429 to the rest."""
    async with stand.nodes(2):
        await stand.answer(rate=100)
        await stand.put()
        return await stand.ended("100 calls/s are taken, 429 to the rest, 2 nodes")


async def wrong_key(stand: Stand, scale: float) -> Found:
    """Answer 401, and then accept."""
    lasts = HOUR / scale
    async with stand.nodes(2):
        await stand.answer(status=401)
        await stand.put()
        await asyncio.sleep(lasts)
        await stand.answer(status=0)
        return await stand.ended(f"401 for {lasts:.0f} s, 2 nodes")


async def lost_answers(stand: Stand, _scale: float) -> Found:
    """Lose the answers of PostgreSQL six times for an instant while greetings leave."""
    async with relayed(stand.dsn) as relay, stand.nodes(1, dsn=relay.url, UNKNOWN_OUTCOME="hold"):
        await stand.put()
        for number in range(LOST_ANSWERS):
            await stand.until_sent((number + 0.5) / (LOST_ANSWERS + 1))
            relay.swallow_answers()
            await asyncio.sleep(0.1)
            relay.mend()
        return await stand.ended(f"answers of PostgreSQL lost {LOST_ANSWERS} times, `hold`, 1 node")


async def drain(stand: Stand, _scale: float) -> Found:
    """Refuse a drain shorter than a call; then stop a node in the middle of slow calls, and let another go on."""
    given = {"EMAIL_URL": stand.bench.stub_url, "EMAIL_TIMEOUT": "30s", "DRAIN_WITHIN": "20s"}
    log = stand.bench.servers.place / "refused.log"
    async with node(stand.bench.servers, stand.dsn, given, log=log) as process:
        refused = await process.wait() == 2
    settings = {"EMAIL_TIMEOUT": "10s", "DRAIN_WITHIN": "15s", "UNKNOWN_OUTCOME": "hold"}
    await stand.answer(latency=[4.0, 4.0])
    async with stand.nodes(1, **settings) as (first,):
        await stand.put()
        async with asyncio.timeout(END_WITHIN):
            while not await stand.count("sending"):
                await asyncio.sleep(0.02)
        psutil.Process(first.pid).send_signal(signal.SIGTERM)
        async with stand.nodes(1, **settings):
            shorter = "refused" if refused else "TAKEN"
            found = await stand.ended(f"a drain shorter than a call is {shorter}; a node is stopped in a call of 4 s")
    return found if refused else replace(found, wrong=found.wrong + 1)


async def silent(stand: Stand, _scale: float) -> Found:
    """Hold silent connections to a node with few file descriptors while greetings are due."""
    descriptors = DESCRIPTORS + CONCURRENCY
    async with (
        stand.nodes(1, under=("prlimit", f"--nofile={descriptors}")) as (one,),
        silent_connections(one.url) as opened,
    ):
        await stand.put()
        return await stand.ended(f"{opened} of {CONNECTIONS} silent connections, {descriptors} descriptors, 1 node")


@dataclass(frozen=True, slots=True)
class Case:
    """`before` is the result on revision 6fa4dfa, when the fault was found."""

    greetings: int
    run: Callable[[Stand, float], Awaitable[Found]]
    before: str


CASES: Mapping[str, Case] = {
    "outage": Case(60, outage, "10 of 60 failed"),
    "throttle": Case(3_000, throttle, "1,660 of 3,000 failed; 25,141 calls refused"),
    "wrong-key": Case(2_000, wrong_key, "2,000 of 2,000 failed in 2.1 s"),
    "lost-answers": Case(6_000, lost_answers, "350 of 6,000 unknown, none ever sent"),
    "drain": Case(20, drain, "the setting is taken; 20 of 20 unknown"),
    "silent": Case(100, silent, "nothing sent for 100 s"),
}


async def measure(names: list[str], *, scale: float, size: float) -> bool:
    """Run the cases, print the table, and return True if all are good."""
    columns = ("case", "before", "greetings", "sent", "failed", "unknown", "lost, early, twice", "calls not accepted")
    sys.stdout.write(f"| {' | '.join(columns)} | last after, s |\n{'| --- ' * 9}|\n")
    good = True
    async with bench() as running:
        for name in names:
            case, began = CASES[name], time.monotonic()
            people = max(1, round(case.greetings * size))
            async with running.database() as dsn:
                await running.behave(latency=LATENCY)
                await reset(running)
                stand = Stand(running, dsn, people)
                await stand.greetings.sign_up()
                found = await case.run(stand, scale)
            good = good and found.good
            sys.stdout.write(
                f"| {name}: {found.what} | {case.before} | {found.due} | {found.sent} | {found.failed} "
                f"| {found.unknown} | {found.wrong} | {found.refused} | {found.seconds:.1f} |\n"
            )
            sys.stdout.flush()
            sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    return good


async def reset(running: Bench) -> None:
    """Give the fake email service the options that a case may have changed."""
    async with aiohttp.ClientSession(running.stub_url, timeout=ASK_TIMEOUT, raise_for_status=True) as http:
        await http.put("/options", json={"down": False, "rate": 0.0, "status": 0})


def main() -> None:
    """Measure, and exit with the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES), default=[])
    parser.add_argument(
        "--scale", type=float, default=50.0, help="divisor of the hour and of the retries (%(default)g)"
    )
    parser.add_argument("--size", type=float, default=1.0, help="share of the greetings (%(default)g)")
    args = parser.parse_args()
    if unknown := sorted(set(args.cases) - set(CASES)):
        parser.error(f"{', '.join(unknown)}: expected {', '.join(CASES)}")
    if args.scale <= 0 or args.size <= 0:
        parser.error("--scale and --size must be greater than 0")
    sys.exit(0 if uvloop.run(measure(args.cases or list(CASES), scale=args.scale, size=args.size)) else 1)


if __name__ == "__main__":
    main()
