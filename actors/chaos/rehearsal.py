"""A rehearsal from its start to its verdict: servers and nodes, the wave, one fault after another, and the books."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import aiohttp
import orjson

from actors.chaos.configuration import Configuration
from actors.chaos.emptiness import require_empty
from actors.chaos.faults import Fault, Need
from actors.chaos.finding import Finding
from actors.chaos.fleet import SETTINGS, Fleet, fleet_of, why_not_relayed
from actors.chaos.options import EMBEDDED, ChaosOptions
from actors.chaos.ordeal import Ordeal, undergo
from actors.chaos.pace import FIRST_GUESS, SHARE_OF_TIMEOUT, Pace
from actors.chaos.report import line_of
from actors.chaos.script import Skipped, possible, script
from actors.chaos.servers import Servers, given_servers, own_servers
from actors.chaos.stage import Stage
from actors.chaos.wave import Wave, choose, sign_up
from actors.recovery import lost_claim_is_freed_within
from actors.rehearsal.records import Due, Work, count_unplanned, read_tried, read_work
from actors.rehearsal.verdict import judge
from service.adapters.postgres.connection import Database
from service.adapters.postgres.migrations import migrate
from service.adapters.postgres.queries import load
from service.email_stub import EmailStub, StubOptions
from service.embedded.ports import LOOPBACK
from service.ports import Unavailable
from service.settings import Settings

PLANNED_AHEAD = timedelta(hours=72)
"""Before the instant, further ahead than is planned: the first half sign up here, and are planned later."""

SIGNED_UP_LATE = timedelta(hours=1)
"""Before the instant: the second half sign up here, and are planned as they do."""

COUNTDOWN = timedelta(seconds=3)
"""From the last move of the clock to the instant: what leaves before it is early."""

PLANNED_WITHIN = 120.0
"""Seconds for planning everybody."""

BEGUN_WITHIN = 60.0
"""Seconds until the first greeting has to leave after its instant."""

SLACK = 30.0
"""Seconds for what follows the slowest way back: the next attempt, on two busy cores."""

SUSPECTS = 50
"""Messages that something is wrong with whose history is kept."""

_SQL = load("stage.sql", __package__)


class NeverBegan(Exception):
    """The wave did not come about: people were not planned, or nothing left at its instant."""


def stalled_after(settings: Settings) -> float:
    """Seconds without any message coming to its end after which the rest counts as lost: the slowest ways back are that
    of a claim that a living node has lost, which takes longer than a lost way in the queues, and the longest retry."""
    return lost_claim_is_freed_within(settings.email_timeout) + settings.email_backoff_limit.total_seconds() + SLACK


class Rehearsal:
    """One rehearsal in `directory`. `say` gets a line at a time."""

    def __init__(
        self, options: ChaosOptions, configuration: Configuration, directory: Path, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._settings = configuration.settings
        self._node_settings = configuration.nodes
        self._directory = directory
        self._say = say
        self._chance = Random(options.seed)  # noqa: S311 - it has to be repeatable, not secret
        timeout = self._settings.email_timeout.total_seconds()
        self._pace = Pace(options.nodes * self._settings.email_concurrency, timeout * SHARE_OF_TIMEOUT)

    async def perform(self) -> Finding:
        """Go through all of it. Cancelled, everything is ended.

        Raises EmbeddedError, Unavailable, NotEmpty, NotSignedUp or NeverBegan when it cannot be gone through.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            servers = await self._servers(stack)
            stage = await self._set(stack, servers)
            options = self._options
            drawn = script(options.faults, options.each, options.seed)
            faults, skipped = possible(drawn, servers.lacking)
            for one in skipped:
                self._say(f" not rehearsed: {one.name}: {one.reason}")
            wave, due = await self._begin_wave(stage, len(faults))
            ordeals = await self._let_it_rain(stage, faults)
            await self._settle(stage)
            not_drained = await stage.fleet.drain(within=stage.drain_within + 15)
            return await self._judge(stage, wave, due, ordeals, skipped, not_drained, time.monotonic() - began)

    # --- before ------------------------------------------------------------------------------------------------

    async def _servers(self, stack: AsyncExitStack) -> Servers:
        options, settings = self._options, self._settings
        if options.servers == EMBEDDED:
            connections = options.nodes * settings.database_connections
            with_quota = "fill-disk" in options.faults
            own = own_servers(self._directory, connections=connections, with_quota=with_quota)
            return await stack.enter_async_context(own)
        return given_servers(settings.database_url, settings.redis_url, settings.rabbitmq_url)

    async def _set(self, stack: AsyncExitStack, servers: Servers) -> Stage:
        """The stage, with every node ready."""
        database = Database(servers.database_url, size=2)
        await database.open()
        stack.push_async_callback(database.close)
        # First of all: nothing may be changed in a database that is not for this.
        await require_empty(servers, database)
        await migrate(servers.database_url)
        stub = EmailStub(StubOptions(seed=self._options.seed, keep=2 * self._options.greetings + 10_000))
        await stub.listen(LOOPBACK, 0)
        stack.push_async_callback(stub.close)

        urls = {
            "postgres": servers.database_url,
            "redis": servers.redis_url,
            "rabbitmq": servers.rabbitmq_url,
            "email": stub.url,
        }
        for need in (Need.RELAYED_POSTGRES, Need.RELAYED_REDIS, Need.RELAYED_RABBITMQ):
            url = urls[need.name.removeprefix("RELAYED_").lower()]
            if url and (why := why_not_relayed(url)):
                servers.lacking[need] = why
        if sys.platform != "linux":
            servers.lacking[Need.MEMORY_LIMIT] = "the memory of a process that runs can be limited on Linux only"
        settings = self._node_settings | {SETTINGS[system]: url for system, url in urls.items() if url}
        fleet = await stack.enter_async_context(fleet_of(self._options.nodes, self._directory, settings))
        drain_within = self._settings.drain_within.total_seconds()
        timeout = self._settings.email_timeout.total_seconds()
        stage = Stage(servers, fleet, stub, database, email_timeout=timeout, drain_within=drain_within)
        queue = "RabbitMQ" if servers.rabbitmq_url else "a Redis stream as delivery queue"
        self._say(f" logs       {self._directory}")
        self._say(f" servers    PostgreSQL, Redis, {queue}")
        return stage

    async def _begin_wave(self, stage: Stage, faults: int) -> tuple[Wave, list[Due]]:
        """Everybody signs up and is planned; returns when the first greeting has left."""
        options, settings = self._options, self._settings
        wave = choose(
            datetime.now(UTC), options.greetings, self._chance, at=settings.send_at, leap_day=settings.leap_day
        )
        await stage.set_clock(wave.due - PLANNED_AHEAD)
        for slot in stage.fleet.slots:
            slot.start()
        await asyncio.gather(*(slot.ready() for slot in stage.fleet.slots))
        self._say(f" nodes      {options.nodes}, with {settings.email_concurrency} calls each at a time")

        half = options.greetings // 2
        async with aiohttp.ClientSession(stage.fleet.slots[0].url) as session:
            due = await sign_up(session, wave, 0, half)
            await stage.set_clock(wave.due - SIGNED_UP_LATE)
            due += await sign_up(session, wave, half, options.greetings)

        async def all_planned() -> bool:
            return await stage.count() >= options.greetings

        if not await stage.until(all_planned, within=PLANNED_WITHIN):
            raise NeverBegan(f"{await stage.count()} of {options.greetings} greetings were planned")
        zones = f"{len(wave.zones)} time zones"
        self._say(f" wave       {options.greetings} greetings in {zones}, due {wave.due:%d %b %H:%M} UTC\n")
        self._set_pace(stage, options.greetings, faults, FIRST_GUESS)
        await stage.set_clock(wave.due - COUNTDOWN)

        async def begun() -> bool:
            return stage.stub.ledger.accepted > 0

        if not await stage.until(begun, within=BEGUN_WITHIN):
            raise NeverBegan("nothing left at its instant")
        return wave, due

    # --- the faults --------------------------------------------------------------------------------------------

    async def _let_it_rain(self, stage: Stage, faults: Sequence[Fault]) -> list[Ordeal]:
        ordeals: list[Ordeal] = []
        began = time.monotonic()
        for number, fault in enumerate(faults):
            left = await self._left(stage)
            each = (time.monotonic() - began) / number if number else FIRST_GUESS
            self._set_pace(stage, left, len(faults) - number, each)
            ordeal = await undergo(fault, stage, left=left)
            self._say(line_of(ordeal))
            ordeals.append(ordeal)
            # A moment in which all is well, so that one fault is not taken for another.
            await asyncio.sleep(self._chance.uniform(0.5, 1.5))
        return ordeals

    async def _left(self, stage: Stage) -> int:
        try:
            return await stage.open()
        except Unavailable:
            return self._options.greetings - stage.stub.ledger.keys

    def _set_pace(self, stage: Stage, greetings: int, faults: int, each: float) -> None:
        latency = list(self._pace.latency(greetings=greetings, faults=faults, each=each))
        stage.stub.change(stage.stub.options.changed({"latency": latency}))

    # --- afterwards --------------------------------------------------------------------------------------------

    async def _settle(self, stage: Stage) -> None:
        """Let everything come to its end; returns without that when nothing moves any more."""
        self._set_pace(stage, 0, 0, 0)
        last, moved_at, stalled = -1, time.monotonic(), stalled_after(self._settings)
        while time.monotonic() - moved_at < stalled:
            left = await self._left(stage)
            if left == 0:
                return
            if left != last:
                last, moved_at = left, time.monotonic()
            await asyncio.sleep(0.2)
        self._say(f" {last} messages have not come to an end for {stalled:g} s")

    async def _judge(
        self,
        stage: Stage,
        wave: Wave,
        due: Sequence[Due],
        ordeals: Sequence[Ordeal],
        skipped: Sequence[Skipped],
        not_drained: Sequence[str],
        seconds: float,
    ) -> Finding:
        accepted = [one for block in stage.stub.ledger.acceptances() for one in block]
        tried = await read_tried(stage.database, {UUID(one.key) for one in accepted if one.key})
        work = await read_work(stage.database, wave.due, wave.due + timedelta(microseconds=1))
        verdict = judge(
            work,
            [(one.key, one.at) for one in accepted],
            since=wave.due - PLANNED_AHEAD,
            due=len(due),
            unplanned=await count_unplanned(stage.database, due),
            tried={str(id_) for id_ in tried},
            business_time=stage.business_time,
        )
        return Finding(
            options=self._options,
            verdict=verdict,
            ordeals=tuple(ordeals),
            skipped=tuple(skipped),
            zones=len(wave.zones),
            seconds=seconds,
            accepted=len(accepted),
            not_drained=tuple(not_drained),
            crashes=_crashes(stage.fleet),
            suspects=tuple(await self._histories(stage, work) if not verdict.good else ()),
        )

    async def _histories(self, stage: Stage, work: Sequence[Work]) -> list[dict[str, object]]:
        """What is on record, on both sides, about messages that are not as they should be."""
        times: dict[str, list[str]] = defaultdict(list)
        for block in stage.stub.ledger.acceptances():
            for one in block:
                times[str(one.key)].append(stage.business_time(one.at).isoformat())
        count = Counter({key: len(found) for key, found in times.items()})
        suspects = [
            one.id
            for one in work
            if one.status != "sent"
            or count[str(one.id)] != 1 + min(one.unknown, count[str(one.id)] - 1)
            or (one.first_began and one.first_began < one.send_at)
        ]
        rows = await stage.database.fetch(_SQL.history, suspects[:SUSPECTS])
        found = [{name: orjson.loads(row[name] or "null") for name in ("message", "attempts")} for row in rows]
        return [one | {"acceptedAt": times[one["message"]["id"]]} for one in found]


def _crashes(fleet: Fleet) -> int:
    """How many actors crashed, as the logs of the nodes say."""
    return sum(
        1
        for slot in fleet.slots
        for line in slot.log.read_text(errors="replace").splitlines()
        if '"actor_crashed"' in line
    )
