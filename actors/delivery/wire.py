"""How many messages a node may have on the wire, and claimed for it, over all its delivery actors."""

from __future__ import annotations

import asyncio

CLAIMS_A_PLACE = 2
"""Messages claimed at once for each that can be on the wire: what is claimed has an unknown outcome if the node dies,
and is taken for lost if it waits for too long, whether it was sent or not."""


class Wire:
    """Places on the wire, and claims for them, which those that wait get in the order in which they came.

    A bound for the node and not for each of its delivery actors: a whole bundle is one claim, whoever makes it.
    """

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.most = CLAIMS_A_PLACE * places
        """Messages that may be claimed, or on the wire, at once."""
        self._free = self.most
        self._turn = asyncio.Lock()
        self._released = asyncio.Event()

    async def reserve(self, claims: int) -> None:
        """Wait until so many messages may be claimed; at most `most`. Each is to be released once."""
        async with self._turn:
            while self._free < claims:
                self._released.clear()
                await self._released.wait()
            self._free -= claims

    def release(self, claims: int = 1) -> None:
        """So many messages are claimed no more, or were not claimed after all."""
        self._free += claims
        self._released.set()
