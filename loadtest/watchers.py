"""Measures what it costs that many people watch: statements, and processor time of the node and of PostgreSQL.

    python -m loadtest.watchers --messages 10000000 --today 1000000 --watchers 50

The table `messages` is filled with sent messages of the last 300 days, and with some of today. One node runs. Watchers
poll as the console's page Day does, every two seconds with If-None-Match. The node is measured without them, with them,
and after they have gone, and so is a wave of greetings without and with them. A greeting that is lost or twice, or an
answer with an error, gives exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import uvloop

from loadtest import crowd
from loadtest.bare import Figures
from loadtest.bench import Bench, bench
from loadtest.cases import Case
from loadtest.node_wave import measured
from loadtest.programs import cpu, node

POLL_INTERVAL = 2.0
"""Seconds between two looks of a page of the console."""

FORECAST_INTERVAL = 300.0
"""Seconds between two forecasts of it."""

STARTED_WITHIN = 60.0
"""Seconds for the node to listen and to enter."""

_STATEMENTS = "db_query_duration_seconds_count{"
_OVERVIEW_SECONDS = 'db_query_duration_seconds_sum{query="overview"}'


class Watchers:
    """People who watch the page Day of one node."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._count = count
        self.statuses: Counter[int] = Counter()
        """The number of answers, by status."""
        self.seconds: list[float] = []
        """The seconds that each answer took."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Let all of them watch during the block."""
        async with aiohttp.ClientSession(self._url) as client, asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(self._watch(client, Random(number))) for number in range(self._count)]
            yield
            for one in watching:
                one.cancel()

    async def _watch(self, client: aiohttp.ClientSession, random: Random) -> None:
        tag = ""
        forecast_at = time.monotonic()
        await asyncio.sleep(random.uniform(0, POLL_INTERVAL))
        while True:
            if time.monotonic() >= forecast_at:
                forecast_at += FORECAST_INTERVAL
                accepts = {"Cache-Control": f"max-age={FORECAST_INTERVAL:g}"}
                async with client.get("/api/v1/forecast?hours=48", headers=accepts) as answer:
                    await answer.read()
            began = time.monotonic()
            headers = {"If-None-Match": tag, "Cache-Control": "max-age=5"}
            async with client.get("/api/v1/day", headers=headers) as answer:
                await answer.read()
                self.statuses[answer.status] += 1
                tag = answer.headers.get("ETag", tag)
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(POLL_INTERVAL)


async def measure(args: argparse.Namespace) -> Figures:
    """Fill the table, and measure everything."""
    case = Case(args.greetings, stream=True)
    async with bench(rabbitmq=False) as running, running.database() as dsn:
        connection = await asyncpg.connect(dsn)
        await crowd.users(connection, 3 * args.greetings)
        await crowd.spread(connection, args.messages, today=args.today)
        await connection.execute("vacuum analyze messages")
        settings = {"EMAIL_URL": running.stub_url, "BIND": f"127.0.0.1:{args.port}", "RATE_LIMIT": "off"}
        log = running.servers.place / "node.log"
        async with node(running.servers, dsn, settings, rabbitmq=False, log=log) as process:
            url = f"http://127.0.0.1:{args.port}"
            await wait_until_ready(url)
            watchers = Watchers(url, args.watchers)
            figures: Figures = {"messages": args.messages, "today": args.today, "watchers": args.watchers}
            figures |= _named("before", await _idle(running, url, process.pid, args.seconds))
            async with watchers.watching():
                await asyncio.sleep(POLL_INTERVAL)
                figures |= _named("watched", await _idle(running, url, process.pid, args.seconds))
            await asyncio.sleep(POLL_INTERVAL)
            figures |= _named("after", await _idle(running, url, process.pid, args.seconds))
            warm = replace(case, greetings=max(1, args.greetings // 10))
            await measured(running, connection, [process.pid], warm)
            since = args.greetings + 1
            alone = await measured(running, connection, [process.pid], case, since=since)
            async with watchers.watching():
                watched = await measured(running, connection, [process.pid], case, since=since + args.greetings)
            figures |= {f"{name}Alone": alone[name] for name in ("perSecond", "nodeMicroseconds", "twice", "lost")}
            figures |= {f"{name}Watched": watched[name] for name in ("perSecond", "nodeMicroseconds", "twice", "lost")}
            figures["answers"] = float(watchers.statuses.total())
            figures["unchanged"] = float(watchers.statuses[304])
            figures["overviewMilliseconds"] = await _overview_seconds(url) * 1000
            figures["errors"] = float(sum(count for status, count in watchers.statuses.items() if status >= 400))
            slowest = sorted(watchers.seconds)
            figures["p50Milliseconds"] = slowest[len(slowest) // 2] * 1000
            figures["p99Milliseconds"] = slowest[len(slowest) * 99 // 100] * 1000
        await connection.close()
    return figures


async def _idle(running: Bench, url: str, pid: int, seconds: float) -> Figures:
    """The statements in five seconds, and the shares of a processor, while nothing is due."""
    statements, used, database = await _statements(url), cpu(pid), running.server_cpu()["postgres"]
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    found = {
        "NodeShare": (cpu(pid) - used) / took,
        "PostgresShare": (running.server_cpu()["postgres"] - database) / took,
    }
    now = await _statements(url)
    made = {name: now[name] - statements[name] for name in now}
    return found | {
        "Statements": sum(made.values()) / took * 5,
        "Overviews": made.get("overview", 0) / took * 5,
    }


async def _statements(url: str) -> Counter[str]:
    """Return the number of statements that the node has made, by name."""
    async with aiohttp.ClientSession(url) as client, client.get("/metrics") as answer:
        text = await answer.text()
    made: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith(_STATEMENTS):
            made[line.partition('query="')[2].partition('"')[0]] += int(float(line.rsplit(" ", 1)[1]))
    return made


async def _overview_seconds(url: str) -> float:
    """Return the seconds that the statement takes on average."""
    made = (await _statements(url))["overview"]
    async with aiohttp.ClientSession(url) as client, client.get("/metrics") as answer:
        [line] = [one for one in (await answer.text()).splitlines() if one.startswith(_OVERVIEW_SECONDS)]
    return float(line.rsplit(" ", 1)[1]) / made


async def wait_until_ready(url: str) -> None:
    """Wait until a node at this URL is ready. Raises TimeoutError."""
    until = time.monotonic() + STARTED_WITHIN
    while True:
        try:
            async with aiohttp.ClientSession(url) as client, client.get("/health/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        if time.monotonic() > until:
            raise TimeoutError("the node did not start")
        await asyncio.sleep(0.1)


def _named(prefix: str, figures: Figures) -> Figures:
    return {prefix + name: value for name, value in figures.items()}


def report(found: Figures) -> str:
    """Return a Markdown table."""
    lines = [
        "| | statements in 5 s, of which overviews | node, % of a core | PostgreSQL, % of a core |",
        "| --- | --- | --- | --- |",
        *(
            f"| {text} | {found[when + 'Statements']:.1f}, {found[when + 'Overviews']:.2f} "
            f"| {found[when + 'NodeShare']:.1%} | {found[when + 'PostgresShare']:.1%} |"
            for when, text in (
                ("before", "no watchers, before"),
                ("watched", f"{found['watchers']:.0f} watchers"),
                ("after", "no watchers, after"),
            )
        ),
        "",
        f"wave: {found['perSecondAlone']:.0f} greetings/s, node {found['nodeMicrosecondsAlone']:.0f} µs each; "
        f"watched {found['perSecondWatched']:.0f} greetings/s, node {found['nodeMicrosecondsWatched']:.0f} µs each",
        f"answers: {found['answers']:.0f}, of which 304 {found['unchanged']:.0f}, errors {found['errors']:.0f}; "
        f"p50 {found['p50Milliseconds']:.1f} ms, p99 {found['p99Milliseconds']:.1f} ms; "
        f"an overview takes {found['overviewMilliseconds']:.0f} ms",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="sent messages in the table (%(default)s)")
    parser.add_argument("--today", type=int, default=10_000, help="sent messages of today beside them (%(default)s)")
    parser.add_argument("--watchers", type=int, default=50, help="people who watch (%(default)s)")
    parser.add_argument("--greetings", type=int, default=10_000, help="greetings of each wave (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a measurement (%(default)s)")
    parser.add_argument("--port", type=int, default=18080, help="port of the node (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    found = uvloop.run(measure(args))
    sys.stdout.write(report(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if any(found[figure] for figure in ("lostAlone", "twiceAlone", "lostWatched", "twiceWatched", "errors")):
        sys.exit(1)


if __name__ == "__main__":
    main()
