"""Business time between two readings of the database's clock, and the jumps of that clock.

Between readings only durations are measured here, never the time of day, with a clock that stops while the machine
is suspended: so a suspension shows as a jump, as it should.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.ports import Pulse

TOLERANCE = 1.0
"""Seconds by which a reading may differ from what was expected before it is a jump: more than any scheduling delay
of the reading itself, less than anything that matters."""


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock moved by so many seconds of real time more than it should have: negative means back."""

    seconds: float


class BusinessClock:
    """Knows what the database's clock said last, how fast it runs and how long ago that was."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self.steady = steady
        """Seconds of the clock that measures between readings."""
        self._pulse: Pulse | None = None
        self._at = 0.0
        self.jumps = 0
        self.skew = 0.0
        """The node's own wall clock minus the database's, in seconds; for people only."""

    def read(self, pulse: Pulse, *, asked_at: float) -> Jump | None:
        """Take a reading that was asked for at `asked_at` of the steady clock. A jump is counted and returned."""
        answered_at = self.steady()
        at = (asked_at + answered_at) / 2
        self.skew = time.time() - pulse.real_now.timestamp() - (answered_at - at)
        jump = self._jump(pulse, at, (answered_at - asked_at) / 2)
        self._pulse, self._at = pulse, at
        if jump is not None:
            self.jumps += 1
        return jump

    def _jump(self, pulse: Pulse, at: float, uncertainty: float) -> Jump | None:
        if self._pulse is None:
            return None
        expected = (at - self._at) * self._pulse.rate
        # A clock that stands still has a rate of 0 and jumps all the same when it is set.
        difference = ((pulse.now - self._pulse.now).total_seconds() - expected) / (self._pulse.rate or 1)
        return Jump(difference) if abs(difference) > TOLERANCE + uncertainty else None

    def now(self) -> datetime | None:
        """Business time, or None before the first reading."""
        if self._pulse is None:
            return None
        return self._pulse.now + timedelta(seconds=(self.steady() - self._at) * self._pulse.rate)

    def seconds_until(self, instant: datetime) -> float:
        """Real seconds until a business instant; 0 when it has passed or nothing is known."""
        now = self.now()
        if now is None or self._pulse is None:
            return 0.0
        return max(0.0, (instant - now).total_seconds() / (self._pulse.rate or 1))
