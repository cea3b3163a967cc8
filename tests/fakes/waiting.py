"""How a fake waits for something to change: on the loop's own clock, so that a simulated one works too."""

from __future__ import annotations

import asyncio


class Bell:
    """Wakes everybody who waits for it, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    def ring(self) -> None:
        """Wake those who wait now."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def heard(self, *, until: float) -> bool:
        """Wait for the next ring; False when the loop's clock shows `until` first."""
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
