"""Checks a server for all requests together: within a deadline, and at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from service.ports import Unavailable

HEALTH_CHECK_TIMEOUT = 0.8
"""Seconds for a check. With the second for which a result is used again, a server that freezes shows within 2 s."""

HEALTH_CHECK_CACHE_SECONDS = 1.0
"""Seconds for which a result is used again: health requests must not load a server that has problems."""


class HealthCheck:
    """The check of one server. Requests at the same time share a result.

    `known` returns True while the actors find the server down, and the second of `steady` since which they know it.
    The actors always work, but the first request may come long after an outage began.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Mapping[str, object]]],
        known: Callable[[], tuple[bool, float]] | None = None,
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._known = known
        self._steady = steady
        self._looking = asyncio.Lock()
        self._seen: dict[str, object] = {}
        self._seen_at = self._since = self._otherwise_at = float("-inf")

    async def result(self) -> dict[str, object]:
        """`status` up or down, the figures or the `reason`, and for how many `seconds` it has been so."""
        async with self._looking:
            if self._steady() - self._seen_at >= HEALTH_CHECK_CACHE_SECONDS:
                before, seen_before = self._seen.get("status"), self._seen_at
                self._seen = await self._looked()
                self._seen_at = self._steady()
                if self._seen["status"] != before:
                    self._since, self._otherwise_at = self._seen_at, seen_before
            down = self._seen["status"] == "down"
        return self._seen | {"seconds": round(self._steady() - self._since_when(down=down), 3)}

    def _since_when(self, *, down: bool) -> float:
        """The time that the actors know, if they agree and no check has seen the opposite after it."""
        if self._known is not None:
            away, since = self._known()
            if away == down and since > self._otherwise_at:
                return since
        return self._since

    async def _looked(self) -> dict[str, object]:
        try:
            async with asyncio.timeout(HEALTH_CHECK_TIMEOUT):
                return {"status": "up", **await self._look()}
        except Unavailable as error:
            return {"status": "down", "reason": error.reason}
        except TimeoutError:
            return {"status": "down", "reason": f"no answer within {HEALTH_CHECK_TIMEOUT:g} s"}
