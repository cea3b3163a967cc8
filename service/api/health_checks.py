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
    """One server. Those who ask at the same time share a look.

    `known` tells whether the actors, who are always at work, find it away, and since which second of the loop's clock:
    nobody may have asked here when that began.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Mapping[str, object]]],
        known: Callable[[], tuple[bool, float]] | None = None,
    ) -> None:
        self._look = look
        self._known = known
        self._looking = asyncio.Lock()
        self._seen: dict[str, object] = {}
        self._seen_at = self._since = self._otherwise_at = float("-inf")

    async def result(self) -> dict[str, object]:
        """`status` up or down, the figures or the `reason`, and for how many `seconds` it has been so."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() - self._seen_at >= FRESH_FOR:
                before, seen_before = self._seen.get("status"), self._seen_at
                self._seen = await self._looked()
                self._seen_at = loop.time()
                if self._seen["status"] != before:
                    self._since, self._otherwise_at = self._seen_at, seen_before
            down = self._seen["status"] == "down"
        return self._seen | {"seconds": round(loop.time() - self._since_when(down=down), 3)}

    def _since_when(self, *, down: bool) -> float:
        """What the actors know, where they agree, unless the opposite was seen here after that."""
        if self._known is not None:
            away, since = self._known()
            if away == down and since > self._otherwise_at:
                return since
        return self._since

    async def _looked(self) -> dict[str, object]:
        try:
            async with asyncio.timeout(CHECK_WITHIN):
                return {"status": "up", **await self._look()}
        except Unavailable as error:
            return {"status": "down", "reason": error.reason}
        except TimeoutError:
            return {"status": "down", "reason": f"no answer within {CHECK_WITHIN:g} s"}
