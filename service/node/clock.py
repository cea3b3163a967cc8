"""Business time between two readings of the database's clock, and the jumps of that clock.

Between readings a node measures only durations, never the time of day. Its steady clock stops while the machine is
suspended, so a suspension shows as a jump.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.ports import ClockReading

JUMP_TOLERANCE = 1.0
"""Seconds by which a reading may differ from the expected one. It exceeds the scheduling delay of a reading."""


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump of business time by so many seconds of real time; negative means back.

    `server_seconds` is the jump of the server's own clock at the same reading. It is 0 when only business time was set.
    Forward, it shows that this machine stood still without its clocks noticing, as a paused guest does.
    """

    seconds: float
    server_seconds: float = 0.0

    @property
    def machine_stood_still(self) -> bool:
        """True when time passed at the server that did not pass here."""
        return self.server_seconds > JUMP_TOLERANCE


class BusinessClock:
    """Business time, from the last reading of the database's clock, its rate and the time since."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self.steady = steady
        """A steady clock, in seconds, for the time between readings."""
        self._reading: ClockReading | None = None
        self._at = 0.0
        self._uncertainty = 0.0
        """Seconds before and after `_at` within which the reading was made."""
        self._was_read = asyncio.Event()
        self.jumps = 0
        self.skew = 0.0
        """The node's own wall clock minus the database's, in seconds; only shown to people."""

    def read(self, reading: ClockReading, *, asked_at: float) -> Jump | None:
        """Take a reading that was requested at `asked_at` of the steady clock. Count and return a jump."""
        answered_at = self.steady()
        at = (asked_at + answered_at) / 2
        self.skew = time.time() - reading.real_now.timestamp() - (answered_at - at)
        uncertainty = (answered_at - asked_at) / 2
        jump = self._jump(reading, at, self._uncertainty + uncertainty)
        self._reading, self._at, self._uncertainty = reading, at, uncertainty
        self._was_read.set()
        if jump is not None:
            self.jumps += 1
        return jump

    def _jump(self, reading: ClockReading, at: float, uncertainty: float) -> Jump | None:
        if self._reading is None:
            return None
        expected = (at - self._at) * self._reading.rate
        # A stopped clock has a rate of 0 and still jumps when it is set.
        difference = ((reading.now - self._reading.now).total_seconds() - expected) / (self._reading.rate or 1)
        if abs(difference) <= JUMP_TOLERANCE + uncertainty:
            return None
        of_server = (reading.real_now - self._reading.real_now).total_seconds() - (at - self._at)
        return Jump(difference, of_server if abs(of_server) > JUMP_TOLERANCE + uncertainty else 0.0)

    async def first_reading(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the first reading. Return False when there is none."""
        try:
            async with asyncio.timeout(within):
                await self._was_read.wait()
        except TimeoutError:
            return False
        return True

    def now(self) -> datetime | None:
        """Business time, or None before the first reading."""
        if self._reading is None:
            return None
        return self._reading.now + timedelta(seconds=(self.steady() - self._at) * self._reading.rate)

    def seconds_until(self, instant: datetime) -> float:
        """Real seconds until a business instant; 0 after it, and before the first reading."""
        now = self.now()
        if now is None or self._reading is None:
            return 0.0
        return max(0.0, (instant - now).total_seconds() / (self._reading.rate or 1))
