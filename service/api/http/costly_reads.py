"""Reads that look at much for a small answer: a few at a time, so that greetings keep processor and connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MAX_AT_ONCE = 4
"""Costly reads that a node works on at once. Others wait."""

MAX_PER_CLIENT = 2
"""Those of one client among them, so that no key makes others wait for long."""


@dataclass(slots=True)
class _Client:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PER_CLIENT))
    reads: int = 0
    """Its reads that wait or are worked on."""


class CostlyReads:
    """Gives turns to costly reads, in the order in which they came."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._clients: dict[str, _Client] = {}

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the block."""
        own = self._clients.setdefault(client, _Client())
        own.reads += 1
        try:
            async with own.turns, self._turns:
                yield
        finally:
            own.reads -= 1
            if not own.reads:
                del self._clients[client]
