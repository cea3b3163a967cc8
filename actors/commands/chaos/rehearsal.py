"""One rehearsal: set up servers and nodes, begin the wave, inject the faults, wait for the end, compare the records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiohttp

from actors.commands.chaos.configuration import Configuration
from actors.commands.chaos.environment import Environment
from actors.commands.chaos.fault_run import FaultRun, run_fault
from actors.commands.chaos.faults import Fault, NoEffect
from actors.commands.chaos.latency_plan import SHARE_OF_TIMEOUT, LatencyPlan, pace
from actors.commands.chaos.options import ChaosOptions
from actors.commands.chaos.report import line_of
from actors.commands.chaos.result import RehearsalResult
from actors.commands.chaos.schedule import Skipped, draw_schedule, possible
from actors.commands.chaos.setup import set_up
from actors.commands.chaos.verification import PLANNED_AHEAD, crashes_of, judge_wave, suspects_of
from actors.commands.chaos.wave import Wave, choose, sign_up
from actors.commands.output import counted
from actors.commands.rehearsal.records import DueGreeting
from actors.recovery import lost_claim_is_freed_within
from service.ports import Unavailable
from service.settings import Settings

SIGNED_UP_LATE = timedelta(hours=1)
"""Time before the instant at which the second half of the users sign up. They are planned at once."""

COUNTDOWN = timedelta(seconds=3)
"""Time from the last move of the clock to the instant. A greeting that leaves before the instant is early."""

PLANNING_TIMEOUT = 120.0
"""Seconds in which every user must be planned."""

BEGIN_TIMEOUT = 60.0
"""Seconds after the instant in which the first greeting must leave."""

RESERVE = 30.0
"""Seconds beyond the slowest recovery, for the next attempt on two busy cores."""


class NothingToRehearse(Exception):
    """None of the faults can be injected here."""


class NeverBegan(Exception):
    """The wave did not begin: users were not planned, or no greeting left at its instant."""


def stalled_after(settings: Settings) -> float:
    """Seconds without any message ending after which the others count as lost.

    The slowest recoveries are that of a claim which a living node has lost, and the longest retry.
    """
    return lost_claim_is_freed_within(settings.email_timeout) + settings.email_backoff_limit.total_seconds() + RESERVE


class Rehearsal:
    """One rehearsal in `directory`. `say` takes each line of progress."""

    def __init__(
        self, options: ChaosOptions, configuration: Configuration, directory: Path, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._configuration = configuration
        self._settings = configuration.settings
        self._directory = directory
        self._say = say
        self._met_nothing: list[Skipped] = []
        self._chance = Random(options.seed)  # noqa: S311 - it has to be repeatable, not secret
        timeout = self._settings.email_timeout.total_seconds()
        self._latency_plan = LatencyPlan(options.nodes * self._settings.email_concurrency, timeout * SHARE_OF_TIMEOUT)

    async def perform(self) -> RehearsalResult:
        """Run the rehearsal to its verdict. If it is cancelled, every process is ended.

        Raises EmbeddedError, Unavailable, NotEmpty, NothingToRehearse, NotSignedUp or NeverBegan if it cannot be
        completed.
        """
        began = time.monotonic()
        options = self._options
        async with AsyncExitStack() as stack:
            environment = await set_up(stack, options, self._configuration, self._directory, self._say)
            drawn = draw_schedule(options.faults, options.each, options.seed)
            faults, impossible = possible(drawn, environment.servers.lacking)
            for one in impossible:
                self._say(f" not rehearsed: {one.name}: {one.reason}")
            if not faults:
                raise NothingToRehearse("no fault is possible here")
            wave, due = await self._begin_wave(environment, sum(fault.takes for fault in faults))
            fault_runs = await self._inject_faults(environment, faults)
            await self._settle(environment)
            not_drained = await environment.fleet.drain(within=environment.drain_timeout)
            verdict, work = await judge_wave(environment, wave, due)
            return RehearsalResult(
                options=options,
                verdict=verdict,
                fault_runs=tuple(fault_runs),
                skipped=tuple(impossible),
                zones=len(wave.zones),
                seconds=time.monotonic() - began,
                acceptances=environment.stub.ledger.accepted,
                met_nothing=tuple(self._met_nothing),
                not_drained=tuple(not_drained),
                crashes=crashes_of(environment.fleet),
                suspects=tuple(await suspects_of(environment, work) if not verdict.good else ()),
            )

    async def _begin_wave(self, environment: Environment, seconds: float) -> tuple[Wave, list[DueGreeting]]:
        """Sign up and plan every user. Returns when the first greeting has left."""
        options, settings = self._options, self._settings
        wave = choose(
            datetime.now(UTC), options.greetings, self._chance, at=settings.send_at, leap_day=settings.leap_day
        )
        await environment.set_clock(wave.due - PLANNED_AHEAD)
        for slot in environment.fleet.slots:
            slot.start()
        await asyncio.gather(*(slot.ready() for slot in environment.fleet.slots))
        self._say(f" nodes      {options.nodes}, with {settings.email_concurrency} calls each at a time")

        half = options.greetings // 2
        async with aiohttp.ClientSession(environment.fleet.slots[0].url) as session:
            due = await sign_up(session, wave, 0, half)
            await environment.set_clock(wave.due - SIGNED_UP_LATE)
            due += await sign_up(session, wave, half, options.greetings)

        async def all_planned() -> bool:
            return await environment.count() >= options.greetings

        if not await environment.until(all_planned, within=PLANNING_TIMEOUT):
            raise NeverBegan(f"{await environment.count()} of {options.greetings} greetings were planned")
        zones = f"{len(wave.zones)} time zones"
        self._say(f" wave       {options.greetings} greetings in {zones}, due {wave.due:%d %b %H:%M} UTC\n")
        self._set_latency(environment, options.greetings, seconds)
        await environment.set_clock(wave.due - COUNTDOWN)

        async def begun() -> bool:
            return environment.stub.ledger.accepted > 0

        if not await environment.until(begun, within=BEGIN_TIMEOUT):
            raise NeverBegan("no greeting left at its instant")
        return wave, due

    async def _inject_faults(self, environment: Environment, faults: Sequence[Fault]) -> list[FaultRun]:
        fault_runs: list[FaultRun] = []
        began, expected = time.monotonic(), 0.0
        for number, fault in enumerate(faults):
            left = await self._left(environment)
            if left == 0:
                self._note_no_effect(fault, "no message was left: use more --greetings")
                continue
            rest = sum(one.takes for one in faults[number:])
            self._set_latency(environment, left, rest * pace(time.monotonic() - began, expected))
            expected += fault.takes
            try:
                fault_run = await run_fault(fault, environment, left=left)
            except NoEffect as nothing:
                self._note_no_effect(fault, str(nothing))
                continue
            self._say(line_of(fault_run))
            fault_runs.append(fault_run)
            # A moment without a fault, so that the effects of two faults are not mixed.
            await asyncio.sleep(self._chance.uniform(0.5, 1.5))
        return fault_runs

    def _note_no_effect(self, fault: Fault, reason: str) -> None:
        self._met_nothing.append(Skipped(fault.name, reason))
        self._say(f" met nothing: {fault.name}: {reason}")

    async def _settle(self, environment: Environment) -> None:
        """Wait until every message has ended, or until no message moves any more."""
        self._set_latency(environment, 0, 0.0)
        last, moved_at, stalled = -1, time.monotonic(), stalled_after(self._settings)
        while time.monotonic() - moved_at < stalled:
            left = await self._left(environment)
            if left == 0:
                return
            if left != last:
                last, moved_at = left, time.monotonic()
            await asyncio.sleep(0.2)
        self._say(f" {counted(last, 'message has', 'messages have')} not ended, and none has ended for {stalled:g} s")

    async def _left(self, environment: Environment) -> int:
        try:
            return await environment.open()
        except Unavailable:
            return self._options.greetings - environment.stub.ledger.keys

    def _set_latency(self, environment: Environment, greetings: int, seconds: float) -> None:
        latency = list(self._latency_plan.latency(greetings=greetings, seconds=seconds))
        environment.stub.change(environment.stub.options.changed({"latency": latency}))
