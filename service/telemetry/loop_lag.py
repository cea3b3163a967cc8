"""The lag of the event loop: a timer that fires twice a second, and its longest delay lately."""

from __future__ import annotations

import asyncio
from collections import deque

TIMER_INTERVAL = 0.5
"""Seconds between two timers. A longer delay is always seen, a shorter one sometimes."""

SHOWN_FOR = 30.0
"""Seconds for which a delay is shown: two scrapes at least."""


class LoopLag:
    """Measures from `start` to `stop`, in the loop that runs at `start`."""

    def __init__(self) -> None:
        self._delays = deque([0.0], maxlen=round(SHOWN_FOR / TIMER_INTERVAL))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to measure."""
        self._arm()

    def stop(self) -> None:
        """Stop to measure."""
        if self._timer is not None:
            self._timer.cancel()

    def worst(self) -> float:
        """The longest delay of the last `SHOWN_FOR` seconds, in seconds."""
        return max(self._delays)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TIMER_INTERVAL, self._measure, loop.time() + TIMER_INTERVAL)

    def _measure(self, expected_at: float) -> None:
        self._delays.append(max(0.0, asyncio.get_running_loop().time() - expected_at))
        self._arm()
