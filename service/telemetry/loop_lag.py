"""How late the event loop runs what is due: a timer of its own, twice a second, remembers the worst."""

from __future__ import annotations

import asyncio

LOOK_EVERY = 0.5
"""Seconds between two looks: what holds up the loop for longer is always seen, what is shorter now and then."""


class LoopLag:
    """Runs from `start` to `stop`, in the loop that runs then."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look."""
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def worst(self) -> float:
        """The longest delay since this was asked last, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_EVERY, self._look, loop.time() + LOOK_EVERY)

    def _look(self, expected_at: float) -> None:
        self._worst = max(self._worst, asyncio.get_running_loop().time() - expected_at)
        self._arm()
