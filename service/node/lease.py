"""The lease of a node: its right to act on what it has claimed, while its last heartbeat is recent.

Other nodes end an incarnation without a heartbeat for `DEATH_TIMEOUT` seconds. The node itself stops `SAFETY_MARGIN`
seconds earlier. Its clock continues while the process is stopped or the machine is suspended, so a node that resumes
late stops before it asks another system.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

HEARTBEAT_INTERVAL = 1.5
"""Seconds between two heartbeats."""

DEATH_TIMEOUT = 8.0
"""Seconds without a heartbeat after which other nodes end an incarnation."""

SAFETY_MARGIN = 2.0
"""Seconds by which a node stops before others may end it. A statement that is under way takes less."""


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Seconds of a steady clock that continues while the machine is suspended (CLOCK_BOOTTIME, where it exists)."""
    return time.clock_gettime(_CLOCK)


class LeaseLost(Exception):
    """Other nodes ended this incarnation, or may do so now: its claims belong to them."""


class Lease:
    """The lease of one node, shared by its actors. Only the membership actor renews it."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._incarnation: int | None = None
        self.first_incarnation: int | None = None
        """The first incarnation of this process; a later one follows a lost lease."""
        self._until = 0.0
        self._ended_at = float("-inf")
        self._granted = asyncio.Event()

    def now(self) -> float:
        """Seconds of the clock by which the lease ends."""
        return self._clock()

    def renew(self, incarnation: int, heard_at: float) -> None:
        """Extend the lease after a heartbeat that was sent at `heard_at` (of `now`).

        A heartbeat that was sent before the last `end` does not count.
        """
        if heard_at < self._ended_at:
            return
        self.first_incarnation = self.first_incarnation or incarnation
        self._incarnation, self._until = incarnation, heard_at + DEATH_TIMEOUT - SAFETY_MARGIN
        self._granted.set()

    def end(self) -> None:
        """End the lease. Only a heartbeat that is sent from now on grants it again."""
        self._ended_at = self._clock()
        self._incarnation, self._until = None, 0.0
        self._granted.clear()

    @property
    def held(self) -> bool:
        """True while this node may act."""
        return self._clock() < self._until

    @property
    def remaining(self) -> float:
        """Seconds for which this node may act if no heartbeat follows."""
        return max(0.0, self._until - self._clock())

    @property
    def incarnation(self) -> int:
        """The number under which this node claims. Raises LeaseLost without a lease."""
        if self._incarnation is None or not self.held:
            raise LeaseLost
        return self._incarnation

    def holds(self, incarnation: int) -> bool:
        """True while this node may act on the claims of that incarnation.

        It is false after other nodes ended the incarnation, even if this node has a new one.
        """
        return self.held and self._incarnation == incarnation

    async def granted(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the lease; False when it is still not held."""
        if not self.held:
            self._granted.clear()
            try:
                async with asyncio.timeout(within):
                    await self._granted.wait()
            except TimeoutError:
                return False
        return self.held
