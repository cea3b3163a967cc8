"""The wait of a fake for a change: on the loop's own clock, so that it works on virtual time."""

from __future__ import annotations

import asyncio


class Bell:
    """Wakes all waiting callers in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def awaited(self) -> bool:
        """True while a caller waits."""
        return bool(self._waiters)

    def ring(self) -> None:
        """Wake the callers that wait now."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def heard(self, *, until: float) -> bool:
        """Wait for the next ring. Return False when the loop's clock reaches `until` first."""
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            return False
        waiter = loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                await waiter
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True
