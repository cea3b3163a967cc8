"""The holds as a running node knows them. A call may begin only with a recent reading.

A hold takes effect when it is committed. A reading from before then is too old after `MAX_AGE`, and a later reading
contains the hold. So no node begins a call after that time, also a node that cannot reach the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from service.domain.holds import Hold, hold_of
from service.node.lease import elapsed

READ_INTERVAL = 0.25
"""Seconds between two readings."""

MAX_AGE = 0.8
"""Seconds for which a reading counts, from the moment at which it was asked for. The promise is one second."""


class SendingHolds:
    """The latest reading of the active holds. Only the holds reader renews it."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._asked_at = float("-inf")
        self._read = asyncio.Event()
        self.active: tuple[Hold, ...] = ()
        """The active holds by the latest reading, however old it is."""

    def now(self) -> float:
        """Seconds of the clock by which readings become too old."""
        return self._clock()

    def renew(self, active: Sequence[Hold], asked_at: float) -> None:
        """Use a reading that was requested at `asked_at` (of `now`)."""
        self.active, self._asked_at = tuple(active), asked_at
        waiters, self._read = self._read, asyncio.Event()
        waiters.set()

    def expire(self) -> None:
        """Wait for the next reading: the clock stood still for a while, so the age of this one is unknown."""
        self._asked_at = float("-inf")

    def allow(self, occasion: str) -> bool:
        """True when a call for a message of that occasion may begin now."""
        return self._clock() - self._asked_at < MAX_AGE and hold_of(self.active, occasion) is None

    def read_since(self, instant: float) -> bool:
        """True if the latest reading is recent, and was requested at that instant (of `now`) or later."""
        return self._asked_at >= instant and self._clock() - self._asked_at < MAX_AGE

    async def next_reading(self, *, within: float) -> None:
        """Wait for the next reading, up to this many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._read.wait()
        except TimeoutError:
            pass
