"""Limits the calls in flight, by a number that may change at run time."""

from __future__ import annotations

import asyncio
from types import TracebackType


class CallSlots:
    """At most `most` holders at once, in the order of the requests. A holder releases its slot once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = asyncio.Semaphore(most)
        self._surplus = 0
        """Slots of the semaphore beyond `most`. The next to get or to release one drops it instead."""

    def resize(self, most: int) -> None:
        """Change the limit. After a lower one, slots that are held stay so until they are released."""
        more, self.most = most - self.most, most
        self._surplus -= more
        while self._surplus < 0:
            self._surplus += 1
            self._free.release()

    def locked(self) -> bool:
        """True if a request may have to wait."""
        return self._free.locked() or self._surplus > 0

    async def acquire(self) -> None:
        """Wait for a slot. It does not wait if `locked` is false."""
        await self._free.acquire()
        while self._surplus > 0:
            self._surplus -= 1
            await self._free.acquire()

    def release(self) -> None:
        """Give a slot back."""
        if self._surplus > 0:
            self._surplus -= 1
        else:
            self._free.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
