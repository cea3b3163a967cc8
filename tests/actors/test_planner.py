"""The planner: when it announces, and what it does with an outage at midnight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from actors.context import NodeContext
from actors.periodic import Tick
from actors.planner import PLANNED_AHEAD_AT_LEAST, PlanAgain, Planner, RunDaily
from actors.runtime import Address
from service.domain.planning import HORIZON, CalendarDefaults
from service.ports import ClockReading, Planned, Unavailable
from service.ports.names import PLAN
from tests.actors.contexts import NOW, alone
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth
from tests.fakes.waiting import Bell
from tests.service.node.steady import Steady

MIDNIGHT = NOW.replace(hour=0)
DAILY = "0 0 * * *"
NEVER_SOON = "0 0 1 1 *"


class ObservedPlanning(FakePlanning):
    """Counts the reads of how far planning is. While `away`, every read raises Unavailable."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self.away = False
        self.looks = 0
        self.asked = Bell()

    async def planned(self) -> Planned:
        self.looks += 1
        self.asked.ring()
        if self.away:
            raise Unavailable("postgres", "away")
        return await super().planned()

    async def announce(self, *args: Any, **options: Any) -> list[int] | None:
        ranges = await super().announce(*args, **options)
        self.asked.ring()
        return ranges


class Stage:
    """A running planner, and a business clock that the test sets."""

    def __init__(self, context: NodeContext, memory: RedisMemory, steady: Steady, *, cron: str) -> None:
        self.context = context
        self._steady = steady
        self.now = MIDNIGHT - timedelta(seconds=5)
        self.truth = Truth(now=lambda: self.now)
        self.truth.defaults = CalendarDefaults()
        self.planning = ObservedPlanning(self.truth)
        self.address: Address[RunDaily | PlanAgain | Tick] = Address("planner", capacity=4)
        self.supervisor = alone(
            lambda: Planner(
                context,
                self.planning,
                FakeWorkStream(memory, PLAN, consumer="node"),
                cron=cron,
                on_emptied=lambda _: None,
            ),
            self.address,
        )

    async def start(self) -> None:
        """Start it, and wait for the announcement of a start."""
        self.read_clock()
        await self.supervisor.start()
        await self.announced(MIDNIGHT - timedelta(hours=1) + HORIZON)

    def read_clock(self) -> None:
        """Let the node read the database's clock, as its ticker does, and renew the lease."""
        asked_at = self.context.clock.steady()
        self.context.clock.read(ClockReading(self.now, self.now, 1.0, None), asked_at=asked_at)
        self.context.lease.renew(7, asked_at)

    def passes(self, time: timedelta) -> None:
        """Advance the clock by this much."""
        self.now += time
        self._steady.passes(time.total_seconds())
        self.read_clock()

    async def looked(self, times: int) -> None:
        """Wait until it has read this many more times."""
        looks = self.planning.looks + times
        await self._until(lambda: self.planning.looks >= looks)

    async def announced(self, until: datetime) -> None:
        """Wait until planning is announced up to that instant."""
        await self._until(lambda: self.truth.planned_until == until)

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + 20
        while not condition():
            assert await self.planning.asked.heard(until=deadline), "it never came"


@pytest.fixture
def stage(context: NodeContext, memory: RedisMemory, steady: Steady) -> Stage:
    """A planner with the daily cron."""
    return Stage(context, memory, steady, cron=DAILY)


async def test_a_daily_run_that_meets_an_outage_is_made_when_the_outage_ends(stage: Stage) -> None:
    """With one try at midnight the run would come a day late, and leave one day less to notice."""
    await stage.start()
    stage.planning.away = True

    stage.passes(timedelta(seconds=10))
    await stage.looked(2)
    before = stage.truth.planned_until
    stage.planning.away = False
    await stage.announced(MIDNIGHT + HORIZON)
    await stage.supervisor.drain(5)

    assert before < MIDNIGHT + HORIZON
    assert ("daily", MIDNIGHT) in stage.truth.job_runs


async def test_a_store_that_goes_away_too_does_not_end_the_outage_of_the_database(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL goes away while a range is planned, and then Redis. The next pass asks PostgreSQL again."""
    met: list[str] = []

    def meets(system: str) -> NoReturn:
        met.append(system)
        stage.planning.asked.ring()
        raise Unavailable(system, "away")

    async def plan(*_args: object, **_options: object) -> None:
        stage.planning.away = True
        monkeypatch.setattr(FakeWorkStream, "unfinished", unfinished)
        meets("postgres")

    async def unfinished(*_args: object, **_options: object) -> None:
        meets("redis")

    monkeypatch.setattr(stage.planning, "plan", plan)
    await stage.start()

    await stage._until(lambda: bool(met))
    looks = stage.planning.looks
    await stage._until(lambda: len(met) > 1 or stage.planning.looks > looks)
    waits_for = [outage.system for outage in stage.context.outages.current()]
    await stage.supervisor.drain(5)

    assert met == ["postgres"]
    assert waits_for == ["postgres"]


async def test_planning_that_falls_behind_is_announced_without_the_cron(
    context: NodeContext, memory: RedisMemory, steady: Steady
) -> None:
    """The state decides, not only the cron. Here the cron runs once a year."""
    stage = Stage(context, memory, steady, cron=NEVER_SOON)
    await stage.start()

    stage.passes(HORIZON - PLANNED_AHEAD_AT_LEAST + timedelta(hours=1))
    await stage.announced(stage.now.replace(minute=0, second=0) + HORIZON)
    await stage.supervisor.drain(5)

    assert stage.context.lease.held


async def test_planning_that_reaches_far_enough_is_left_alone(
    context: NodeContext, memory: RedisMemory, steady: Steady
) -> None:
    """Every node checks each minute. If each check announced, planning would be cut into many small ranges."""
    stage = Stage(context, memory, steady, cron=NEVER_SOON)
    await stage.start()
    announced = stage.truth.planned_until

    for _ in range(5):
        stage.passes(timedelta(hours=2))
        await stage.looked(1)
    await stage.supervisor.drain(5)

    assert stage.truth.planned_until == announced
    assert len(stage.truth.job_runs) == 1
