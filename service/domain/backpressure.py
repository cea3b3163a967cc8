"""Back-pressure: limits the work on its way by the measured rate at which it is done.

A million due messages wait in PostgreSQL, oldest first, and not in queues. The ticker hands out about half a minute of
work, which it measures from the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable

HORIZON = 30.0
"""Seconds of work that may be on its way."""

UNMEASURED_ROOM = 2_000
"""Messages that may be on their way while the rate is unknown.

A fast wave begins with large claims. If no rate is configured and fewer than 22 messages a second leave, some of these
messages stay `queued` so long that recovery takes them for lost.
"""

MIN_ROOM = 100
"""Messages that may be on their way at any rate, enough to notice when the rate changes."""

MAX_ROOM = 50_000
"""Messages that may be on their way at most. The limit bounds the streams and the queue."""

SHORTEST = 0.001
"""Measurements that are closer together, in seconds, say nothing about the rate."""

AVERAGED_OVER = 5.0
"""Seconds after which a measurement has lost most of its weight.

This is a sixth of the horizon, so the limit grows six times as fast as the deliveries of a new wave, which is never
delayed.
"""


class Backpressure:
    """Counts what was handed out and what is on its way, and gives the room for more.

    `at_most` gives the configured rate per second, None where there is none: then only what is measured counts.
    """

    def __init__(self, at_most: Callable[[], float | None] = lambda: None) -> None:
        self._at_most = at_most
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
            # If all of it was done, the rate may be higher.
            self._rate = rate if outstanding else max(rate, self._rate)
        if outstanding:
            self._busy_since = at if self._busy_since is None else self._busy_since
            self._busy_at = at
        else:
            self._busy_since = None
            if before:
                self._busy_at = at
            elif at - self._busy_at > HORIZON:
                self._rate = 0.0  # the next wave is independent, and the service may have changed
        self._measured_at, self._outstanding, self._handed_out = at, outstanding, 0

    def handed_out(self, count: int) -> None:
        """Add `count` messages to those on their way."""
        self._handed_out += count

    def seconds(self) -> float:
        """Return the seconds that the outstanding messages take at that rate; 0 while the rate is unknown."""
        return (self._outstanding + self._handed_out) / self._rate if self._known and self._rate > 0 else 0.0

    def room(self) -> int:
        """Return the number of messages that may be handed out now."""
        at_most = self._at_most()
        most = MAX_ROOM if at_most is None else min(MAX_ROOM, max(1, int(at_most * HORIZON)))
        allowed = min(most, max(MIN_ROOM if self._known else UNMEASURED_ROOM, int(self._rate * HORIZON)))
        return max(0, allowed - self._outstanding - self._handed_out)

    @property
    def _known(self) -> bool:
        """True if there was work to measure for long enough, without a break."""
        return self._busy_since is not None and self._busy_at - self._busy_since >= AVERAGED_OVER
