"""The course of a demo: start everything, show day after day with a verdict each, until a signal arrives."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import aiohttp

from actors.commands.demo.clock import DemoClock
from actors.commands.demo.days import Day
from actors.commands.demo.directory import DemoDirectory
from actors.commands.demo.due import read_due
from actors.commands.demo.figures import count_users
from actors.commands.demo.options import FAULTS, PREFERRED_PORT, DemoOptions, environment
from actors.commands.demo.people import Crowd, sign_up
from actors.commands.demo.report import summary
from actors.commands.demo.screen import FRAMES_PER_SECOND, Screen
from actors.commands.demo.servers import Servers
from actors.commands.demo.watch import Watch
from actors.commands.output import counted
from actors.commands.rehearsal.node_process import NodeProcess, end_left_behind
from actors.commands.rehearsal.verdict import Verdict
from actors.commands.sandbox.servers.errors import PortTaken
from actors.commands.sandbox.servers.ports import free_port, is_free
from service.adapters.postgres.connection import Database
from service.adapters.postgres.migrations import migrate
from service.ports import Unavailable

SUMMARY_FOR = 12.0
"""Seconds that the summary stays on the screen before the live picture continues."""


class Story:
    """One demo, from its start to its end."""

    def __init__(self, options: DemoOptions, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._node: NodeProcess | None = None
        self.good = True
        """True while every verdict was good."""

    @property
    def drained(self) -> bool:
        """True if the node ended in order, or was never started."""
        return self._node is None or self._node.drained

    async def tell(self) -> bool:
        """Start everything and run. True if every verdict was good. If it is cancelled, everything is ended.

        Raises EmbeddedError, MigrationChanged, Unavailable or SignUpFailed if it cannot start.
        """
        async with AsyncExitStack() as stack:
            watch = await self._start(stack)
            await self._go_on(watch)
            self._screen.say(" draining the node, stopping the servers")
        return self.good and self.drained

    async def _start(self, stack: AsyncExitStack) -> Watch:
        options, say = self._options, self._screen.say
        port = _port(options)
        place = DemoDirectory()
        stack.callback(place.release)
        await end_left_behind(place.path)
        servers = Servers(place)
        if options.fresh:
            await servers.empty()

        say(" [bold]heyday demo[/]: 09:00 moves around the world, and every user gets a greeting on their day\n")
        await stack.enter_async_context(servers)
        dsn = servers.postgres.dsn()
        applied = await migrate(dsn)
        say(f" PostgreSQL  127.0.0.1:{servers.postgres.port}, data in {place.shown(place.postgres)}{_schema(applied)}")
        say(f" Redis       127.0.0.1:{servers.redis.port}, data in {place.shown(place.redis)}")
        say(f" email       {servers.stub.url}, which fails {_faults()}")

        database = Database(dsn, size=3)
        await database.open()
        stack.push_async_callback(database.close)
        clock = DemoClock(database)
        first = await clock.resume()

        settings = environment(options, database=dsn, redis=servers.redis.url, email=servers.stub.url, port=port)
        place.begin_log()
        node = self._node = await stack.enter_async_context(NodeProcess(place.path, place.log, settings))
        # The clock stops before the node drains. Otherwise greetings would become due and leave late in the next demo.
        stack.push_async_callback(_stop, clock)
        say(f" node        {node.url}, process {node.pid}, log in {place.shown(place.log)}")
        say(f" console     {node.url}/console, to watch in a browser")
        session = await stack.enter_async_context(aiohttp.ClientSession(node.url))

        # Until every user has signed up, the clock runs at normal speed, so that no user is too late for their day.
        day = Day(1, clock.now + timedelta(seconds=60 + options.users / 50))
        before = await count_users(database)
        missing = max(0, options.users - len(await read_due(database, day)))
        crowd = Crowd(before + 1)
        joined = await sign_up(session, crowd.invite(missing, since=day.start))
        say(f" people      {joined} signed up through POST {node.url}/api/v1/users{_welcome(before)}")
        say(f" clock       {_clock(clock, first)}, and runs a day in {options.seconds_per_day:g} s from now on\n")
        await clock.run(options.rate)
        # This job reads the clock, so the node learns its new speed.
        async with session.post("/api/v1/jobs/minute:run"):
            pass
        return Watch(options, place, servers, database, clock, node, session, day, crowd)

    async def _go_on(self, watch: Watch) -> None:
        """Show day after day. With --once, return after the first."""
        hold_until = 0.0
        try:
            while True:
                await watch.look()
                judged = await watch.judged()
                if judged is not None:
                    self.good = self.good and judged[1].good
                if judged is not None and judged[0].number == 1:
                    self._sum_up(watch, *judged)
                    if self._options.once:
                        return
                    hold_until = time.monotonic() + SUMMARY_FOR
                if time.monotonic() >= hold_until:
                    self._screen.show(watch.scene())
                await asyncio.sleep(1 / FRAMES_PER_SECOND)
        except asyncio.CancelledError:
            self._screen.say(" draining the node, stopping the servers (Ctrl-C again: at once)")
            raise

    def _sum_up(self, watch: Watch, day: Day, verdict: Verdict) -> None:
        say = self._screen.say
        say(f"\n [bold]One day has passed, and it was 09:00 once in {len(day.nines)} cities.[/]\n")
        say(summary(day, verdict, rate=self._options.rate))
        say()
        if not self._options.once:
            say(watch.urls.text())
            say("\n The demo continues. Ctrl-C drains the node and stops everything.\n")


def _port(options: DemoOptions) -> int:
    if options.port is None:
        return PREFERRED_PORT if is_free(PREFERRED_PORT) else free_port()
    if not is_free(options.port):
        raise PortTaken(f"port {options.port} is taken: choose another one, or leave out --port to use a free one")
    return options.port


async def _stop(clock: DemoClock) -> None:
    with suppress(Unavailable):
        await clock.stop()


def _schema(applied: list[str]) -> str:
    return f", {counted(len(applied), 'migration')} applied" if applied else ", kept from before"


def _faults() -> str:
    shares = (FAULTS.error_rate, "with an error"), (FAULTS.hang_rate, "by never answering")
    said = ", ".join(f"{share:.0%} {how}" for share, how in shares)
    return f"{said}, and {FAULTS.accept_then_fail_rate:.0%} by cutting off what it accepted"


def _welcome(before: int) -> str:
    return f", {before} were there before" if before else ""


def _clock(clock: DemoClock, first: bool) -> str:
    return f"{'begins at' if first else 'goes on from'} {clock.now:%a %d %b %Y %H:%M} UTC"
