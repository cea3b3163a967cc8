"""The right of a node to act on what it has claimed: it holds while the node's heart was heard not long ago.

Others end a node's incarnation when they have seen no beat for `DEATH` seconds. The node itself stops `MARGIN`
seconds earlier, by a clock that goes on while the process is stopped or the machine suspended: so a node that wakes
up late finds that it may not go on, before it asks anybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BEAT_EVERY = 1.5
"""Seconds between two beats."""

DEATH = 8.0
"""Seconds without a beat after which others end an incarnation."""

MARGIN = 2.0
"""Seconds by which a node stops before others may end it: more than a statement already on its way takes."""


def elapsed() -> float:
    """Seconds of a steady clock that does not stop with the machine (CLOCK_BOOTTIME where there is one)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LeaseLost(Exception):
    """This incarnation was ended by others, or could not make itself heard: what it had claimed is theirs."""


class Lease:
    """Shared by the actors of one node; renewed by its membership actor and by nobody else."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._incarnation: int | None = None
        self._until = 0.0
        self._ended_at = float("-inf")
        self._granted = asyncio.Event()

    def now(self) -> float:
        """Seconds of the clock by which the lease runs out."""
        return self._clock()

    def renew(self, incarnation: int, heard_at: float) -> None:
        """A beat asked for at `heard_at` (of `now`) was taken. It does not count if the lease was ended since: whoever
        did so knew more than the one who asked."""
        if heard_at < self._ended_at:
            return
        self._incarnation, self._until = incarnation, heard_at + DEATH - MARGIN
        self._granted.set()

    def end(self) -> None:
        """Nothing may be claimed or sent any more, until a beat is taken that is asked for from now on."""
        self._ended_at = self._clock()
        self._incarnation, self._until = None, 0.0
        self._granted.clear()

    @property
    def held(self) -> bool:
        """Whether this node may act now."""
        return self._clock() < self._until

    @property
    def incarnation(self) -> int:
        """The number under which this node claims. Raises LeaseLost when it may not."""
        if self._incarnation is None or not self.held:
            raise LeaseLost
        return self._incarnation

    def holds(self, incarnation: int) -> bool:
        """Whether this node may still act on what that incarnation claimed: not once others have ended it, even if the
        node has begun a new one since."""
        return self.held and self._incarnation == incarnation

    async def granted(self, *, within: float) -> bool:
        """Wait up to `within` seconds until the lease is held; False when it still is not."""
        if not self.held:
            self._granted.clear()
            try:
                async with asyncio.timeout(within):
                    await self._granted.wait()
            except TimeoutError:
                return False
        return self.held
