"""Measures for how long nothing leaves while a store restarts or fails over:

    python -m loadtest.failover [EVENT ...]

Two nodes send a wave at a fixed rate. In mid-wave a store is stopped for some seconds, or its primary is killed and the
replica takes over. The silence is the longest time between two acceptances in the email service's log. The exit code
is 1 if a greeting was lost or accepted twice, or if the silence was longer than the outage by more than 2 s. Servers
and nodes are private, on loopback. Failover of Redis needs `redis-server`, which runs as sentinel, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import aiohttp
import asyncpg
import uvloop

from loadtest import crowd, servers
from loadtest.programs import last_word, node, program
from tests.service.adapters.redis.processes import Group
from tests.service.adapters.redis.processes import running as members
from tests.standby import Standby, several

BEFORE, AFTER = 6.0, 30.0
"""Seconds of the wave before the event, and after the end of the outage."""

DUE_IN = 5.0
"""Seconds until the wave is due; the nodes are ready before."""

ALLOWED = 2.0
"""Seconds by which the silence may be longer than the outage."""

PROMOTED_AFTER = 5.0
"""Seconds from the loss of PostgreSQL's primary until a person, or a program, promotes the standby."""

GIVE_UP_AFTER = 120.0
"""Seconds after the end of the outage within which all must be greeted."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The servers of a wave, and the event that it meets."""

    dsn: str
    redis_url: str
    event: Callable[[], Awaitable[None]]
    """Returns when the store answers again."""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one event; times in seconds."""

    event: str
    outage: float
    silence: float
    greetings: int
    lost: int
    twice: int

    @property
    def good(self) -> bool:
        """True if the promises were kept."""
        return self.lost == self.twice == 0 and self.silence < self.outage + ALLOWED

    def line(self) -> str:
        """Return it as a line of the table."""
        seconds = f"{self.outage:6.1f}  {self.silence:7.1f}  {self.silence - self.outage:+6.1f}"
        return f"{self.event:18}  {seconds}  {self.greetings:9}  {self.lost:4}  {self.twice:5}"


HEADING = f"{'event':18}  {'outage':>6}  {'silence':>7}  {'more':>6}  {'greetings':>9}  {'lost':>4}  {'twice':>5}"

EVENTS = ("restart-postgres", "restart-redis", "restart-rabbitmq", "failover-postgres", "failover-redis")


@asynccontextmanager
async def setting(event: str, running: servers.Servers, outage: float) -> AsyncIterator[Setting]:
    """Prepare the stores for an event."""
    dsn, redis_url = await running.database(), running.redis.url
    what, _, store = event.partition("-")
    if what == "restart":
        server = {"postgres": running.postgres, "redis": running.redis, "rabbitmq": running.rabbitmq}[store]
        assert server is not None, f"{store} is not installed"

        async def restart() -> None:
            await server.stop()
            await asyncio.sleep(outage)
            await server.start()

        yield Setting(dsn, redis_url, restart)
    elif store == "postgres":
        standby = Standby(running.place / "standby", running.postgres)
        await standby.start()
        # The standby has every commit that a node was told of, or nodes would refuse it.
        for statement in ("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"):
            await _execute(running.postgres.dsn("postgres"), statement)

        async def promote() -> None:
            await running.postgres.kill()
            await asyncio.sleep(PROMOTED_AFTER)
            await standby.promote()

        other = f"{standby.dsn('postgres').rpartition('/')[0]}/{dsn.rpartition('/')[2]}"
        try:
            yield Setting(several(dsn, other), redis_url, promote)
        finally:
            await standby.stop()
    else:
        group = Group(running.place / "sentinel")
        async with members(group.primary, group.replica, *group.sentinels):
            await group.settled()

            async def fail_over() -> None:
                group.primary.kill()
                while (await group.replica.client.role())[0] != "master":
                    await asyncio.sleep(0.05)

            yield Setting(dsn, group.url, fail_over)


async def measure(event: str, *, rate: int, outage: float) -> Result:
    """Run one wave with one event."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers.running(rabbitmq=True))
        stub = await stack.enter_async_context(program("actors.commands.sandbox.email_stub", "--port", "0"))
        stub_url = await last_word(stub)
        prepared = await stack.enter_async_context(setting(event, running, outage))
        settings = {
            "EMAIL_URL": stub_url,
            "EMAIL_RATE": f"{rate}/s",
            "REDIS_URL": prepared.redis_url,
            "BIND": "127.0.0.1:0",
        }
        for _ in range(2):
            await stack.enter_async_context(node(running, prepared.dsn, settings, log=running.place / "nodes.log"))
        connection = await asyncpg.connect(running.postgres.dsn(prepared.dsn.partition("?")[0].rpartition("/")[2]))
        while await connection.fetchval("select count(*) from nodes where ended_at is null") < 2:
            await asyncio.sleep(0.1)
        greetings = int(rate * (BEFORE + AFTER))
        await crowd.users(connection, greetings)
        due = datetime.now(UTC) + timedelta(seconds=DUE_IN)
        await crowd.due(connection, greetings, due)
        await connection.close()
        await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + BEFORE)

        began = time.time()
        await prepared.event()
        ended = time.time()
        until = time.monotonic() + GIVE_UP_AFTER
        accepted: list[tuple[str, float]] = []
        while len(keys := {key for key, _ in accepted}) < greetings and time.monotonic() < until:
            await asyncio.sleep(1)
            accepted = await _accepted(stub_url)
    instants = sorted(at for _, at in accepted)
    return Result(
        event,
        ended - began,
        max(after - before for before, after in pairwise(instants)),
        greetings,
        greetings - len(keys),
        len(accepted) - len(keys),
    )


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


async def _accepted(stub_url: str) -> list[tuple[str, float]]:
    """Return key and time, in seconds since 1970, of each acceptance."""
    async with aiohttp.ClientSession(stub_url) as http, http.get("/accepted") as response:
        lines = [json.loads(line) async for line in response.content]
    return [(line["key"], line["at"] / 1000) for line in lines]


async def main() -> int:
    """Measure each event, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="*", metavar="EVENT", help=f"of {', '.join(EVENTS)} (all)")
    parser.add_argument("--rate", type=int, default=60, help="greetings per second over both nodes (60)")
    parser.add_argument(
        "--outage", type=float, default=10.0, metavar="SECONDS", help="how long a store is stopped (10)"
    )
    args = parser.parse_args()
    unknown = [one for one in args.events if one not in EVENTS]
    if unknown:
        parser.error(f"no such event: {', '.join(unknown)}")
    sys.stdout.write(f"{HEADING}\n")
    good = True
    for event in args.events or EVENTS:
        result = await measure(event, rate=args.rate, outage=args.outage)
        good &= result.good
        sys.stdout.write(f"{result.line()}\n")
        sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
