"""Finds the rate that the email service takes: additive increase, multiplicative decrease.

The first throttle sets the rate to what was accepted lately. Each further one lowers it in proportion to the share of
calls that were throttled, as Data Center TCP does (RFC 8257), and at most once a second. Between them it grows evenly.
`throttle.lua` does the same in Redis, for all nodes together. A node that cannot reach Redis uses this module alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

START = 0.9
"""A limit begins at this share of the accepted rate, below the service's own limit."""

LEAST_DECREASE = 0.1
"""A throttle lowers the rate by this share at least."""

DECREASE_EVERY = 1.0
"""Seconds between two decreases. All answers to one burst are one signal."""

GROWTH = 0.02
"""Each second the rate grows by this share of the rate at the last decrease, and by one call at least."""

LIFTED_AT = 10.0
"""A limit ends when it has grown to this many times the rate at the last decrease."""

MIN_RATE = 1.0
"""The minimum rate in calls a second, and the minimum growth each second.

After a long throttle, a service that accepts everything again is noticed in seconds. A service that needs longer pauses
asks for them.
"""

FIRST_RATE = 10.0
"""The rate in calls a second after a throttle that comes before any acceptance."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate of `per_second` calls at the instant `since`, when a pause ends, which grows by `step` each second."""

    per_second: float
    since: float
    step: float

    def at(self, now: float) -> float:
        """The rate at `now`; infinite once the limit has ended."""
        rate = self.per_second + self.step * max(0.0, now - self.since)
        return rate if rate < LIFTED_AT * self.per_second else math.inf


class AdaptiveRate:
    """The rate of one node, or of all. Instants are seconds of any steady clock; `ceiling` is the configured rate."""

    def __init__(self, ceiling: float = math.inf) -> None:
        self.ceiling = ceiling
        self.epoch = 0
        self.limit: Limit | None = None
        self.paused_until = -math.inf
        self._decreased_at = -math.inf

    def at(self, now: float) -> float:
        """Calls a second that may be made at `now`, unless there is a pause."""
        return min(self.ceiling, self.limit.at(now)) if self.limit else self.ceiling

    def decreases_at(self, now: float) -> bool:
        """Return True if a throttle at `now` lowers the rate. It does not if another one has done so a moment ago."""
        return now - self._decreased_at >= DECREASE_EVERY

    def throttled(self, now: float, *, taken: float, share: float, pause: float) -> None:
        """Lower the rate, because the service throttled.

        `taken`: calls a second that it accepted lately. `share`: the share of recent calls that it throttled. `pause`:
        seconds for which it wants no call.
        """
        self.paused_until = max(self.paused_until, now + pause)
        if not self.decreases_at(now):
            return
        rate = self.at(now)
        lowered = rate * (1 - max(LEAST_DECREASE, share / 2))
        if rate == self.ceiling:
            lowered = min(lowered, START * taken or FIRST_RATE)
        lowered = max(MIN_RATE, lowered)
        self.limit = Limit(lowered, max(now, self.paused_until), max(MIN_RATE, lowered * GROWTH))
        self._decreased_at = now
        self.epoch += 1

    def follow(self, limit: Limit | None, *, paused_until: float, epoch: int) -> None:
        """Take over the limit that all nodes share in Redis."""
        self.limit, self.paused_until, self.epoch = limit, paused_until, epoch
