"""Turns of the event loop for work that could go on for long without waiting."""

from __future__ import annotations

import asyncio
import time

TURN_SECONDS = 0.005
"""Seconds of work between two turns: greetings and health checks wait no longer for it."""

TURNS = 8
"""Turns at a time. A request needs about five between its connection and its response, so it passes within one pause.
With a single turn, each of the five waits for TURN_SECONDS of each import."""


class Turns:
    """Gives the event loop a turn by the time that has passed, never by a count of rows: one row may cost a lot."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def give(self) -> None:
        """Let other tasks run if this one has worked for TURN_SECONDS."""
        if time.perf_counter() - self._began >= TURN_SECONDS:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self._began = time.perf_counter()
