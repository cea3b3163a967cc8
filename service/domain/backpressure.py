"""Back-pressure: how much work may be on its way, given how fast it is being done.

A million due messages wait in PostgreSQL, oldest first, rather than in queues: the ticker hands out about half a
minute of work and measures, from what became of it, how much that is.
"""

from __future__ import annotations

import math

HORIZON = 30.0
"""Seconds of work that may be on its way."""

LEAST = 2_000
"""Messages that may be on their way while nobody knows how fast they are done: a fast wave begins with large claims.
Where no rate is configured, and it turns out to be below 22 a second, some of these are taken for lost."""

FEWEST = 100
"""Messages that may be on their way however slowly they are done: enough to see when that changes."""

MOST = 50_000
"""Messages that may be on their way at the most: it bounds the streams and the queue."""

SHORTEST = 0.001
"""Seconds between two measurements below which they say nothing about the rate."""

AVERAGED_OVER = 5.0
"""Seconds after which what was measured has lost most of its weight. As they are a sixth of the horizon, what may be on
its way grows six times as fast as a wave that begins is delivered, which is never held up."""


class Pressure:
    """Counts what was handed out and what is still on its way, and says how much more may be.

    `at_most` is the configured rate per second, None where there is none: then only what is measured counts.
    """

    def __init__(self, at_most: float | None = None) -> None:
        self._most = MOST if at_most is None else min(MOST, max(1, int(at_most * HORIZON)))
        self._handed_out = 0
        self._outstanding = 0
        self._measured_at: float | None = None
        self._busy_since: float | None = None
        self._busy_at = -math.inf
        self._rate = 0.0

    @property
    def rate(self) -> float:
        """Messages done per second, a moving average; 0 while it is unknown."""
        return self._rate

    def measured(self, outstanding: int, at: float) -> None:
        """`outstanding` messages were on their way at `at`, in seconds of any steady clock."""
        before = self._outstanding + self._handed_out
        if self._measured_at is not None and (took := at - self._measured_at) >= SHORTEST and before > 0:
            done = max(0, before - outstanding)
            rate = self._rate + (1 - math.exp(-took / AVERAGED_OVER)) * (done / took - self._rate)
            # Where all of it was done, more might have been.
            self._rate = rate if outstanding else max(rate, self._rate)
        if outstanding:
            self._busy_since = at if self._busy_since is None else self._busy_since
            self._busy_at = at
        else:
            self._busy_since = None
            if before:
                self._busy_at = at
            elif at - self._busy_at > HORIZON:
                self._rate = 0.0  # the next wave is another, and so may the service be by then
        self._measured_at, self._outstanding, self._handed_out = at, outstanding, 0

    def handed_out(self, count: int) -> None:
        """So many more are on their way since."""
        self._handed_out += count

    def seconds(self) -> float:
        """How long what is on its way will take at that rate; 0 while the rate is unknown."""
        return (self._outstanding + self._handed_out) / self._rate if self._known and self._rate > 0 else 0.0

    def room(self) -> int:
        """How many more may be handed out now."""
        allowed = min(self._most, max(FEWEST if self._known else LEAST, int(self._rate * HORIZON)))
        return max(0, allowed - self._outstanding - self._handed_out)

    @property
    def _known(self) -> bool:
        """Whether there was work to measure for long enough, without a break."""
        return self._busy_since is not None and self._busy_at - self._busy_since >= AVERAGED_OVER
