"""Calls of the ports `Planning` and `ZoneData`: ranges announced and planned, and zones that change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import time, timedelta

from service.domain.calendar import LeapDay, Weekend
from service.domain.occasions import Occasion
from service.domain.planning import CalendarDefaults, TzdataMove, UnsentDay, days, horizon
from service.domain.texts import Text
from service.ports import Followed
from tests.contracts.chance import Chance
from tests.contracts.sides import RULES, Sides
from tests.principals import OPERATOR

DEFAULTS = (
    CalendarDefaults(),
    CalendarDefaults(time(8)),
    CalendarDefaults(time(10, 30)),
    CalendarDefaults(time(9), LeapDay.MAR1),
    CalendarDefaults(time(9), LeapDay.SKIP),
)
"""Rules that nodes write."""

TEXTS = (
    Text("Happy day", "Hey, {full_name}"),
    Text("Happy day, {first_name}", "Hey, {first_name}: {years} years", "Hey, {first_name}"),
    Text("{{}}", "{years} {last_name}", "{last_name}"),
)
"""Texts of occasions."""


class Planners:
    """Makes these calls."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self._unsent: list[UnsentDay] = []
        self._looked_by = chance.release()
        self._followed: Followed | None = None
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.announce: 6,
            self.plan: 5,
            self.ask: 3,
            self.look_at_zones: 4,
            self.follow_zones: 4,
            self.fall_back: 1,
            self.change_rules: 3,
            self.settle_rules: 1,
            self.change_occasion: 4,
            self.ask_occasions: 1,
        }

    async def announce(self) -> None:
        now, job = self._sides.at, self._random.choice(["daily", "daily", "recovery"])
        scheduled_at = now.replace(minute=0)
        up_to = horizon(now) - timedelta(hours=self._random.choice([0, 0, 24, 40]))
        announced = self._sides.truth.planned_until
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
        after = self._random.choice([0, 0, *self._sides.truth.plan_ranges])
        open_ranges = await self._sides.ask(
            f"open_ranges older than {older} s and after {after}, up to {limit}",
            lambda side: side.planning.open_ranges(older_than=older, limit=limit, after=after),
        )
        number = self._random.choice(open_ranges or [1])
        release = self._chance.release()
        rules = await self._sides.ask("rules", lambda side: side.planning.rules())
        assert rules is not None
        if self._random.random() < 0.1:
            rules = replace(rules, version=(rules.version or 0) - 1)
        await self._sides.ask(
            f"plan {number} with {release} by {rules}",
            lambda side: side.planning.plan(number, rules, tzdata=release),
            release=release,
        )

    async def ask(self) -> None:
        await self._sides.ask("planned", lambda side: side.planning.planned())
        await self._sides.ask("rules", lambda side: side.planning.rules())
        await self._sides.ask("rules_state", lambda side: side.planning.rules_state())

    async def change_rules(self) -> None:
        version = self._sides.truth.rules_version - self._random.choice([0, 0, 0, 1])
        defaults = self._random.choice([None, *DEFAULTS])
        incarnation = self._chance.incarnation()
        await self._sides.ask(
            f"change_rules of {version} to {defaults} by {incarnation}",
            lambda side: side.planning.change_rules(version, defaults, incarnation=incarnation),
        )
        for _ in range(self._random.choice([0, 5, 100])):
            if self._sides.truth.plan_ranges:
                await self.plan()

    async def change_occasion(self) -> None:
        """Change a text, a rule, or both; sometimes it is withdrawn or deleted."""
        random, code = self._random, self._random.choice(["birthday", "birthday", "anniversary", "name_day"])
        stored = self._sides.truth.occasions.get(code)
        version = random.choice([None, None, stored.version if stored else 1, 1])
        if random.random() < 0.1:
            await self._sides.ask(
                f"delete {code} of {version}", lambda side: side.occasions.delete(code, version=version, by=OPERATOR)
            )
            return
        before = stored.occasion if stored else Occasion(code, Text("Hello", "Hey, {full_name}"))
        occasion = random.choice(
            [
                before,
                replace(before, default=random.choice(TEXTS)),
                replace(before, texts=random.choice([{}, {"de": TEXTS[1]}, {"de": TEXTS[2], "de-AT": TEXTS[1]}])),
                replace(before, weekend=random.choice(list(Weekend)), active=random.random() < 0.7),
                replace(before, offset_days=random.choice([-60, -3, 0, 0, 1, 60])),
                replace(before, send_at=random.choice([None, time(8), time(18)])),
                replace(before, leap_day=random.choice([None, LeapDay.SKIP])),
            ]
        )
        create_only = random.random() < 0.1
        await self._sides.ask(
            f"put {occasion} of {version}, create_only={create_only}",
            lambda side: side.occasions.put(occasion, version=version, create_only=create_only, by=OPERATOR),
            comparable=lambda answer: (answer[0].occasion, answer[0].version, answer[0].text_version, answer[1]),
        )
        if random.random() < 0.8:
            await self.change_rules()

    async def ask_occasions(self) -> None:
        """Read them."""
        await self._sides.ask(
            "all occasions",
            lambda side: side.occasions.all(),
            comparable=lambda entries: [(one.occasion, one.version, one.active_since) for one in entries],
        )
        await self._sides.ask(
            "one occasion",
            lambda side: side.occasions.get("name_day"),
            comparable=lambda one: one and (one.occasion, one.version),
        )

    async def settle_rules(self) -> None:
        version = self._sides.truth.rules_version
        await self._sides.ask(f"settle_rules {version}", lambda side: side.planning.settle_rules(version))

    async def look_at_zones(self) -> None:
        release = self._chance.release()

        def in_order(unsent: list[UnsentDay]) -> list[UnsentDay]:
            return sorted(unsent, key=lambda one: (one.send_at, one.timezone, repr(one.day)))

        self._followed = await self._sides.ask(
            f"followed by {release}", lambda side: side.zone_data.followed(), release=release
        )
        self._looked_by = release
        unsent = await self._sides.ask(
            f"unsent by {release}", lambda side: side.zone_data.unsent(), release=release, comparable=in_order
        )
        self._unsent = in_order(unsent or [])

    async def follow_zones(self) -> None:
        """By what was read some steps before: nodes may have begun and ended since."""
        if self._followed is None:
            await self.look_at_zones()
        release, truth, read = self._looked_by, self._sides.truth, self._followed
        assert read is not None
        moves = [
            TzdataMove(one, one.send_at + timedelta(hours=self._random.choice([-1, 1, 24])))
            for one in self._unsent
            if self._random.random() < 0.3
        ]
        ends_at = truth.planned_until
        starts_at = ends_at - timedelta(hours=26)
        again = self._random.sample(found := days(RULES, starts_at, ends_at), min(2, len(found)))
        await self._sides.ask(
            f"follow {release}: {moves}, and {again} again",
            lambda side: side.zone_data.follow(moves, days=again, starts_at=starts_at, ends_at=ends_at, read=read),
            release=release,
        )

    async def fall_back(self) -> None:
        release = self._chance.release()
        await self._sides.ask(f"fall_back to {release}", lambda side: side.zone_data.fall_back(), release=release)
