"""Reads that look at much for a small answer: a few at a time, so that greetings keep processor and connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.http.problems import BUSY, Problem

MAX_AT_ONCE = 2
"""Costly reads that a node works on at once. Others wait."""

MAX_PER_CLIENT = 16
"""Costly reads of one client that wait or are worked on, so that no key makes others wait for long."""


class CostlyReads:
    """Gives turns to costly reads, in the order in which they came."""

    def __init__(self) -> None:
        self._working = asyncio.Semaphore(MAX_AT_ONCE)
        self._by_client: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises Problem if the client has too many such reads under way."""
        if self._by_client[client] >= MAX_PER_CLIENT:
            raise Problem(BUSY, "Too many of your searches and previews are under way.", headers={"Retry-After": "2"})
        self._by_client[client] += 1
        try:
            async with self._working:
                yield
        finally:
            self._by_client[client] -= 1
            self._by_client += Counter()  # drops clients without such reads
