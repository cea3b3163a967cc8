"""Calls of the ports `Planning` and `ZoneData`: ranges announced and planned, and zones that change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from service.planning import days, horizon, instants
from service.ports import Shifted, UnsentDay
from tests.contracts.chance import Chance
from tests.contracts.sides import RULES, Sides


class Planners:
    """Makes them."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self._unsent: list[UnsentDay] = []
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.announce: 6,
            self.plan: 5,
            self.ask: 3,
            self.look_at_zones: 4,
            self.follow_zones: 4,
            self.fall_back: 1,
        }

    async def announce(self) -> None:
        now, job = self._sides.at, self._random.choice(["daily", "daily", "recovery"])
        scheduled_at = now.replace(minute=0)
        up_to = horizon(now) - timedelta(hours=self._random.choice([0, 0, 24, 40]))
        announced = self._sides.truth.planned_up_to
        found = days(RULES, announced, up_to) if announced < up_to else []
        incarnation = self._chance.incarnation()
        await self._sides.ask(
            f"announce {job} of {scheduled_at} up to {up_to}",
            lambda side: side.planning.announce(job, scheduled_at, incarnation=incarnation, up_to=up_to, days=found),
        )
        for _ in range(self._random.choice([0, 5, 100])):
            if self._sides.truth.plan_ranges:
                await self.plan()

    async def plan(self) -> None:
        older, limit = self._random.choice([0, 0, 3600]), self._random.choice([3, 100])
        open_ranges = await self._sides.ask(
            f"open_ranges older than {older} s, up to {limit}",
            lambda side: side.planning.open_ranges(older_than=older, limit=limit),
        )
        number = self._random.choice(open_ranges or [1])
        release = self._chance.release()
        await self._sides.ask(
            f"plan {number} with {release}",
            lambda side: side.planning.plan(number, lambda found: instants(RULES, found), tzdata=release),
            release=release,
        )

    async def ask(self) -> None:
        await self._sides.ask("planned", lambda side: side.planning.planned())
        await self._sides.ask("occasions", lambda side: side.planning.occasions())

    async def look_at_zones(self) -> None:
        release = self._chance.release()

        def in_order(unsent: list[UnsentDay]) -> list[UnsentDay]:
            return sorted(unsent, key=lambda one: (one.send_at, one.timezone, repr(one.day)))

        await self._sides.ask(f"followed by {release}", lambda side: side.zone_data.followed(), release=release)
        unsent = await self._sides.ask(
            f"unsent by {release}", lambda side: side.zone_data.unsent(), release=release, comparable=in_order
        )
        self._unsent = in_order(unsent or [])

    async def follow_zones(self) -> None:
        release, truth = self._chance.release(), self._sides.truth
        shifted = [
            Shifted(one, one.send_at + timedelta(hours=self._random.choice([-1, 1, 24])))
            for one in self._unsent
            if self._random.random() < 0.3
        ]
        ends_at = truth.planned_up_to
        starts_at = ends_at - timedelta(hours=26)
        again = self._random.sample(found := days(RULES, starts_at, ends_at), min(2, len(found)))
        await self._sides.ask(
            f"follow {release}: {shifted}, and {again} again",
            lambda side: side.zone_data.follow(shifted, days=again, starts_at=starts_at, ends_at=ends_at),
            release=release,
        )

    async def fall_back(self) -> None:
        release = self._chance.release()
        await self._sides.ask(f"fall_back to {release}", lambda side: side.zone_data.fall_back(), release=release)
