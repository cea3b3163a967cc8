"""The lag of the event loop: a timer that fires twice a second and keeps the longest delay."""

from __future__ import annotations

import asyncio

TIMER_INTERVAL = 0.5
"""Seconds between two timers. A longer delay is always seen, a shorter one sometimes."""


class LoopLag:
    """Measures from `start` to `stop`, in the loop that runs at `start`."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to measure."""
        self._arm()

    def stop(self) -> None:
        """Stop to measure."""
        if self._timer is not None:
            self._timer.cancel()

    def worst(self) -> float:
        """The longest delay since the last call, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TIMER_INTERVAL, self._measure, loop.time() + TIMER_INTERVAL)

    def _measure(self, expected_at: float) -> None:
        self._worst = max(self._worst, asyncio.get_running_loop().time() - expected_at)
        self._arm()
