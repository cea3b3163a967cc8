"""Looks at a server on behalf of everybody who asks: within a deadline, and no more than once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from service.ports import Unavailable

CHECK_WITHIN = 0.8
"""Seconds for a look: with the second for which the last one is told again, a server that freezes shows within 2 s."""

FRESH_FOR = 1.0
"""Seconds for which what was seen is told again: asking about a server that is ill must not make it worse."""


class Check:
    """One server. Those who ask at the same time share a look."""

    def __init__(self, look: Callable[[], Awaitable[Mapping[str, object]]]) -> None:
        self._look = look
        self._looking = asyncio.Lock()
        self._seen: dict[str, object] = {}
        self._seen_at = self._since = float("-inf")

    async def result(self) -> dict[str, object]:
        """`status` up or down, the figures or the `reason`, and for how many `seconds` it has been so."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() - self._seen_at >= FRESH_FOR:
                before, self._seen = self._seen.get("status"), await self._looked()
                self._seen_at = loop.time()
                if self._seen["status"] != before:
                    self._since = self._seen_at
        return self._seen | {"seconds": round(loop.time() - self._since, 3)}

    async def _looked(self) -> dict[str, object]:
        try:
            async with asyncio.timeout(CHECK_WITHIN):
                return {"status": "up", **await self._look()}
        except Unavailable as error:
            return {"status": "down", "reason": error.reason}
        except TimeoutError:
            return {"status": "down", "reason": f"no answer within {CHECK_WITHIN:g} s"}
