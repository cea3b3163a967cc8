"""Checks repeatedly that the database is the one that this cluster worked with.

Each check leaves evidence for the next: a generation in the row first, then in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog

from service.domain.cluster import REASONS, DatabaseCheck, Identity, Memory, judge
from service.ports import ClusterRow, ClusterWitness, NotAdopted, Recalled, Seen, Unavailable

log = structlog.get_logger(__name__)

REDIS_CHECK_INTERVAL = 10.0
"""Seconds between two checks of Redis, and between two generations. The row is checked every time."""


class ClusterGuard:
    """Remembers the identity it saw, so that this node is a witness after Redis was emptied."""

    def __init__(self, row: ClusterRow, witness: ClusterWitness, *, name: str | None) -> None:
        self._row = row
        self._witness = witness
        self._name = name
        self._remembered: Memory | None = None
        self._ask_at = 0.0
        self.on_database_changed: Callable[[], None] = lambda: None

    @property
    def cluster(self) -> str | None:
        """The identity of the cluster, or None before the first check."""
        return None if self._remembered is None else str(self._remembered.id)

    async def opened(self, look: Callable[[], Awaitable[Seen]]) -> None:
        """Check a new connection, through which `look` reads, before its first use. Raises Unavailable.

        It calls `on_database_changed` if the connection leads to another database. The next check finds the reason.
        """
        if (remembered := self._remembered) is not None:
            seen = await look()
            if judge(seen.identity, seen.here, redis=None, node=remembered, name=self._name) is not DatabaseCheck.SAME:
                self.on_database_changed()

    async def check(self) -> None:
        """Raises NotAdopted when this is another database, Unavailable when a server cannot be asked."""
        if self._remembered is None or time.monotonic() >= self._ask_at or not await self._is_as_before():
            await self._ask()

    async def _is_as_before(self) -> bool:
        """True when the row agrees with the memory of this node."""
        seen = await self._row.look()
        finding = judge(seen.identity, seen.here, redis=None, node=self._remembered, name=self._name)
        if finding is not DatabaseCheck.SAME or seen.identity is None:
            return False
        self._remembered = _memory_of(seen.identity)
        return True

    async def _ask(self) -> None:
        # Redis is read before the row and written after it, so it never knows more than a row that is read later.
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
            if finding is DatabaseCheck.MOVED:
                log.warning("database_moved", before=str(seen.identity.location), now=str(seen.here))
            at_least = redis.generation if redis else 0
            identity = await self._row.mark(seen.identity, at_least=at_least, here=seen.here, name=self._name)
        self._remembered = _memory_of(identity)
        try:
            await self._witness.remember(identity)
        except Unavailable as error:
            log.debug("cluster_identity_not_stored", reason=error.reason)
        self._ask_at = time.monotonic() + REDIS_CHECK_INTERVAL

    async def _recalled(self) -> Recalled:
        try:
            return await self._witness.recall()
        except Unavailable:
            # A node that worked with this database knows enough. Another node waits for Redis.
            if self._remembered is None:
                raise
            return Recalled(None, None)


def _memory_of(identity: Identity) -> Memory:
    return Memory(identity.id, identity.generation)
