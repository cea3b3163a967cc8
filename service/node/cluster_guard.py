"""Makes sure, again and again, that the database is the one that this cluster worked with, and leaves the traces by
which the next look can tell: a generation in the row first, then in Redis."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog

from service.domain.cluster import REASONS, Finding, Identity, Memory, judge
from service.ports import ClusterRow, ClusterWitness, NotAdopted, Recalled, Seen, Unavailable

log = structlog.get_logger(__name__)

ASK_EVERY = 10.0
"""Seconds between two looks into Redis, and about those of a generation. The row is looked at every time."""


class Recognition:
    """Remembers what it saw: while this node runs, an emptied Redis leaves a witness."""

    def __init__(
        self,
        row: ClusterRow,
        witness: ClusterWitness,
        *,
        name: str | None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._row = row
        self._witness = witness
        self._name = name
        self._steady = steady
        self._remembered: Memory | None = None
        self._ask_at = 0.0
        self.on_other: Callable[[], None] = lambda: None

    async def opened(self, look: Callable[[], Awaitable[Seen]]) -> None:
        """A connection was opened, through which `look` looks: before anything else is asked through it, `on_other` is
        called if it leads to another database than before. The next check says which. Raises Unavailable."""
        if (remembered := self._remembered) is not None:
            seen = await look()
            if judge(seen.identity, seen.here, redis=None, node=remembered, name=self._name) is not Finding.SAME:
                self.on_other()

    async def check(self) -> None:
        """Raises NotAdopted when this is another database; Unavailable when that cannot be told now."""
        if self._remembered is None or self._steady() >= self._ask_at or not await self._is_as_before():
            await self._ask()

    async def _is_as_before(self) -> bool:
        """By the row and our own memory alone."""
        seen = await self._row.look()
        finding = judge(seen.identity, seen.here, redis=None, node=self._remembered, name=self._name)
        if finding is not Finding.SAME or seen.identity is None:
            return False
        self._remembered = _memory_of(seen.identity)
        return True

    async def _ask(self) -> None:
        # Redis before the row: it is told after the row, so it never knows more than a row that is read later.
        recalled = await self._recalled()
        seen = await self._row.look()
        redis, node = recalled.memory, self._remembered
        finding = judge(seen.identity, seen.here, redis=redis, node=node, in_use=recalled.in_use, name=self._name)
        if finding.refused:
            self._ask_at = 0.0
            raise NotAdopted(REASONS[finding])
        if seen.identity is None:
            identity = await self._row.make(self._name)
            log.info("cluster_identity_made", cluster=str(identity.id))
        else:
            if finding is Finding.MOVED:
                log.warning("database_moved", before=str(seen.identity.place), now=str(seen.here))
            at_least = redis.generation if redis else 0
            identity = await self._row.mark(seen.identity, at_least=at_least, here=seen.here, name=self._name)
        self._remembered = _memory_of(identity)
        try:
            await self._witness.remember(identity)
        except Unavailable as error:
            log.debug("cluster_not_told_to_redis", reason=error.reason)
        self._ask_at = self._steady() + ASK_EVERY

    async def _recalled(self) -> Recalled:
        try:
            return await self._witness.recall()
        except Unavailable:
            # A node that has worked with this database knows enough. One that has not waits, like the work in Redis.
            if self._remembered is None:
                raise
            return Recalled(None, None)


def _memory_of(identity: Identity) -> Memory:
    return Memory(identity.id, identity.generation)
