"""The occasions there are and when they are due, read again every few seconds: adding one is an INSERT, no restart."""

from __future__ import annotations

import time
from datetime import datetime

from actors.api.problems import UNAVAILABLE, Problem
from service.clock import BusinessClock
from service.domain.users import Profile
from service.planning import Rules, wanted
from service.ports import Planning, Wanted
from service.settings import Settings

READ_EVERY = 5.0
"""Seconds after which the occasions are read again."""


class CalendarRules:
    """Knows the rules of the moment and what one user's days come to by them."""

    def __init__(self, planning: Planning, clock: BusinessClock, settings: Settings) -> None:
        self._planning = planning
        self._clock = clock
        self._settings = settings
        self._rules: Rules | None = None
        self._read_at = 0.0

    async def current(self) -> Rules:
        """The rules, at most a few seconds old. Raises Unavailable when they were never read."""
        now = time.monotonic()
        if self._rules is None or now - self._read_at > READ_EVERY:
            # Several requests may read at once: they read the same.
            rows = tuple(await self._planning.occasions())
            self._rules = Rules(self._settings.send_at, self._settings.leap_day, rows)
            self._read_at = now
        return self._rules

    def now(self) -> datetime:
        """Business time. Raises Problem before the node has read the database's clock."""
        now = self._clock.now()
        if now is None:
            raise Problem(UNAVAILABLE, "The business clock has not been read yet.", headers={"Retry-After": "1"})
        return now


def codes(rules: Rules) -> tuple[str, ...]:
    """The codes of the occasions there are."""
    return tuple(row.code for row in rules.occasions)


def first_wanted(rules: Rules, profile: Profile, now: datetime) -> list[Wanted]:
    """What the days of a new user come to: nothing was planned for them, so nothing has to be moved or cancelled."""
    return wanted(rules, profile.dates, profile.timezone, now=now)


def all_wanted(rules: Rules, profile: Profile, now: datetime) -> list[Wanted]:
    """What the profile's days come to, occasions without a date included: theirs is that there is none."""
    return wanted(rules, {code: profile.dates.get(code) for code in codes(rules)}, profile.timezone, now=now)


def moved(rules: Rules, before: Profile, after: Profile, now: datetime) -> list[Wanted]:
    """What is to be planned anew after an edit; nothing when neither zone nor any date has changed."""
    if before.timezone == after.timezone and before.dates == after.dates:
        return []
    return all_wanted(rules, after, now)
