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

REFILLED_AT = 1 / 4
"""Share of the limit that is free when more is handed out, once the rate is known.

A claim reads every index entry from the oldest on, also those of messages that left. While a session holds a snapshot
nothing cleans those up, so few large claims cost less than many small ones.
"""

FASTEST = 10_000.0
"""Messages per second that a cluster sends at most. A wait for room is no longer than this rate needs for what is on
its way, or a second: so senders wait for the ticker a second at most, even if the service becomes faster meanwhile."""

SHORT = 1.0
"""Seconds that a wait for room may last however little is on its way. A slow service is not asked for all the time."""

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
        self._taken_back = 0
        self._measured_at: float | None = None
        self._busy_since: float | None = None
        self._busy_at = -math.inf
        self._rate = 0.0

    @property
    def rate(self) -> float:
        """Messages done per second, a moving average; 0 while it is unknown."""
        return self._rate

    def measured(self, outstanding: int, at: float, *, taken_back: int = 0) -> None:
        """`outstanding` messages were on their way at `at`, in seconds of any steady clock.

        `taken_back` messages had ever left without being done: they were queued for too long.
        """
        before = max(0, self._on_their_way - (taken_back - self._taken_back))
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
        self._measured_at, self._outstanding, self._handed_out, self._taken_back = at, outstanding, 0, taken_back

    def handed_out(self, count: int) -> None:
        """Add `count` messages to those on their way."""
        self._handed_out += count

    def seconds_until_room(self) -> float:
        """Return the seconds until it is worth while to measure and hand out again; 0 while the rate is unknown."""
        surplus = self._on_their_way - self._allowed() * (1 - REFILLED_AT)
        if not self._known or surplus <= 0:
            return 0.0
        return min(surplus / self._rate if self._rate > 0 else math.inf, max(SHORT, self._on_their_way / FASTEST))

    def room(self) -> int:
        """Return the number of messages that may be handed out now."""
        return max(0, self._allowed() - self._on_their_way)

    def _allowed(self) -> int:
        """Return the number of messages that may be on their way."""
        at_most = self._at_most()
        most = MAX_ROOM if at_most is None else min(MAX_ROOM, max(1, int(at_most * HORIZON)))
        return min(most, max(MIN_ROOM if self._known else UNMEASURED_ROOM, int(self._rate * HORIZON)))

    @property
    def _on_their_way(self) -> int:
        return self._outstanding + self._handed_out

    @property
    def _known(self) -> bool:
        """True if there was work to measure for long enough, without a break."""
        return self._busy_since is not None and self._busy_at - self._busy_since >= AVERAGED_OVER
