"""The planning rules of the database, read again every second: a new occasion needs no restart."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from service.api.http.problems import UNAVAILABLE, Problem
from service.domain.planning import DesiredMessage, PlanningRules, desired_messages
from service.domain.users import Profile
from service.node.clock import BusinessClock
from service.ports import Planning, RulesChanged

OCCASIONS_REFRESH_INTERVAL = 1.0
"""Seconds after which the rules are read again: one short statement for any number of requests."""

TRIES = 5
"""Times that something is written while people change the rules: each change may come before the write."""

FIRST_READING_TIMEOUT = 5.0
"""Seconds that a request waits for the first reading of the clock, which a node makes when it has entered."""

T = TypeVar("T")


class OccasionCache:
    """Keeps the planning rules in force for the routes."""

    def __init__(self, planning: Planning, clock: BusinessClock) -> None:
        self._planning = planning
        self._clock = clock
        self._rules: PlanningRules | None = None
        self._read_at = 0.0

    async def current(self) -> PlanningRules:
        """The rules, at most a second old. Raises Unavailable when they cannot be read."""
        now = time.monotonic()
        if self._rules is None or now - self._read_at > OCCASIONS_REFRESH_INTERVAL:
            # Several requests may read at once: they read the same.
            self._rules = await self._planning.rules()
            self._read_at = now
        return self._rules

    async def apply(self, write: Callable[[PlanningRules], Awaitable[T]]) -> T:
        """Write by the rules in force. If they have just changed, write again by the new ones. Raises Unavailable."""
        for left in reversed(range(TRIES)):
            try:
                return await write(await self.current())
            except RulesChanged:
                self._rules = None
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def now(self) -> datetime:
        """Business time. A request to a node that has just started waits for the first reading of the clock.

        Raises Problem when there is none in time.
        """
        if self._clock.now() is None:
            await self._clock.first_reading(within=FIRST_READING_TIMEOUT)
        if (now := self._clock.now()) is None:
            raise Problem(UNAVAILABLE, "The business clock has not been read yet.", headers={"Retry-After": "1"})
        return now


def codes(rules: PlanningRules) -> tuple[str, ...]:
    """The codes of the occasions there are."""
    return rules.understood


def desired_for_new_user(rules: PlanningRules, profile: Profile, now: datetime) -> list[DesiredMessage]:
    """The messages of a new user. Nothing was planned for them, so nothing has to be moved or cancelled."""
    return desired_messages(rules, profile.dates, profile.timezone, now=now)


def desired_for_profile(rules: PlanningRules, profile: Profile, now: datetime) -> list[DesiredMessage]:
    """The messages of a profile. An occasion without a date has none, and says so."""
    return desired_messages(rules, {code: profile.dates.get(code) for code in codes(rules)}, profile.timezone, now=now)


def moved(rules: PlanningRules, before: Profile, after: Profile, now: datetime) -> list[DesiredMessage]:
    """The messages to plan again after an edit; none when neither the zone nor a date has changed."""
    if before.timezone == after.timezone and before.dates == after.dates:
        return []
    return desired_for_profile(rules, after, now)
