"""Limits the messages that a node has claimed for an email service, and its calls there, over all its senders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.delivery.turns import SpareTurns
from service.call_slots import CallSlots

CLAIMS_PER_CALL = 2
"""Messages that may be claimed for each concurrent call.

If the node dies, each claimed message has an unknown outcome. If a claimed message waits too long, recovery takes it
for lost. So a node claims few.
"""


class Permits:
    """The permits of one node for one email service, in the order of the requests.

    The limit is for the node, not for each sender, because one sender claims a whole bundle at once. Each service has
    its own, so calls that hang at one of them do not keep messages from the other.
    """

    def __init__(self, calls: int) -> None:
        self.calls = CallSlots(calls)
        """Held during a call of the email service."""
        self.spare = SpareTurns()
        self._free = self.most_claims
        self._next = asyncio.Lock()
        self._released = asyncio.Event()

    @property
    def most_claims(self) -> int:
        """Messages that may be claimed at once, including those being sent."""
        return CLAIMS_PER_CALL * self.calls.most

    @property
    def largest_claim(self) -> int:
        """Messages of one claim at most. The next claim is made while the calls of this one are under way."""
        return self.calls.most

    def resize(self, calls: int) -> None:
        """Allow this many calls from now on. Calls that have begun, and claims, are not cut short."""
        before = self.most_claims
        self.calls.resize(calls)
        self.release(self.most_claims - before)

    @asynccontextmanager
    async def claims(self, count: int) -> AsyncIterator[ClaimPermit]:
        """Wait until `count` messages, at most `most_claims`, may be claimed.

        Permits that no task holds are released at the end.
        """
        async with self._next:
            # The limit may have become lower than the count. Such a bundle has to be alone.
            while self._free < min(count, self.most_claims):
                self._released.clear()
                await self._released.wait()
            self._free -= count
        permit = ClaimPermit(self, count)
        try:
            yield permit
        finally:
            permit.release()

    def release(self, count: int) -> None:
        """Allow this many further claims."""
        self._free += count
        self._released.set()


class ClaimPermit:
    """The permit to hold the claims of `left` messages."""

    def __init__(self, permits: Permits, count: int) -> None:
        self._permits = permits
        self.left = count

    def keep(self, count: int) -> None:
        """Release the permits beyond `count`, because fewer messages were claimed."""
        self._permits.release(self.left - count)
        self.left = count

    def hand_to(self, task: asyncio.Task[None]) -> None:
        """Let a task hold the permit of one message until the task ends in any way."""
        self.left -= 1
        task.add_done_callback(lambda _: self._permits.release(1))

    def release(self) -> None:
        """Release the remaining permits."""
        self.keep(0)
