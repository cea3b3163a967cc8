"""Back-pressure: how much work may be on its way, given how fast it is being done.

A million due messages wait in PostgreSQL, oldest first, rather than in queues: the ticker hands out about half a
minute of work and measures, from what became of it, how much that is.
"""

from __future__ import annotations

HORIZON = 30.0
"""Seconds of work that may be on its way."""

LEAST = 2_000
"""Messages that may always be on their way: enough to find out how fast they are done."""

MOST = 50_000
"""Messages that may be on their way at the most: it bounds the streams and the queue."""

SHORTEST = 0.001
"""Seconds between two measurements below which they say nothing about the rate."""

_WEIGHT = 0.3
"""Weight of the latest measurement in the moving average of the rate."""


class Pressure:
    """Counts what was handed out and what is still on its way, and says how much more may be."""

    def __init__(self) -> None:
        self._handed_out = 0
        self._outstanding = 0
        self._measured_at: float | None = None
        self._rate = 0.0

    @property
    def rate(self) -> float:
        """Messages done per second, a moving average."""
        return self._rate

    def measured(self, outstanding: int, at: float) -> None:
        """`outstanding` messages were on their way at `at`, in seconds of any steady clock."""
        if self._measured_at is not None and at - self._measured_at >= SHORTEST and self._outstanding > 0:
            done = max(0, self._outstanding + self._handed_out - outstanding)
            self._rate += _WEIGHT * (done / (at - self._measured_at) - self._rate)
        self._measured_at, self._outstanding, self._handed_out = at, outstanding, 0

    def handed_out(self, count: int) -> None:
        """So many more are on their way since."""
        self._handed_out += count

    def seconds(self) -> float:
        """How long what is on its way will take at that rate; 0 while the rate is unknown."""
        return (self._outstanding + self._handed_out) / self._rate if self._rate > 0 else 0.0

    def room(self) -> int:
        """How many more may be handed out now."""
        allowed = min(MOST, max(LEAST, int(self._rate * HORIZON)))
        return max(0, allowed - self._outstanding - self._handed_out)
