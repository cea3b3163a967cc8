"""The heart of a node: it enters, beats, and tells the others of the node whether they may act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from actors.lease import BEAT_EVERY, Lease
from actors.repeating import Repeating
from service.outages import Outages
from service.ports import Nodes, NotAdopted, Unavailable

log = structlog.get_logger(__name__)


class Membership(Repeating[object]):
    """Keeps the lease. An incarnation that others have ended is left behind, and a new one begun.

    `admission` is asked before a node enters: whether the database is one to work with. `recognise` is asked before it
    enters and before each beat, and raises NotAdopted when this is another database than before: a node that runs must
    notice that a backup was restored under its feet.
    """

    def __init__(
        self,
        nodes: Nodes,
        lease: Lease,
        *,
        node: str,
        admission: Callable[[], Awaitable[bool]],
        recognise: Callable[[], Awaitable[None]],
        outages: Outages,
    ) -> None:
        super().__init__(outages)
        self._admission = admission
        self._recognise = recognise
        self._nodes = nodes
        self._lease = lease
        self._node = node
        self._incarnation: int | None = None

    async def turn(self) -> float:
        if self._incarnation is None and not await self._admission():
            return BEAT_EVERY
        # Before the look: what it sees may be over when the beat is taken.
        asked_at = self._lease.now()
        await self._look()
        if self._incarnation is None:
            self._incarnation = await self._nodes.enter(self._node)
            log.info("node_entered", incarnation=self._incarnation)
        elif not await self._nodes.beat(self._incarnation):
            log.warning("node_was_ended_by_others", incarnation=self._incarnation)
            self._forget()
            return 0.0
        self._lease.renew(self._incarnation, asked_at)
        return BEAT_EVERY

    async def _look(self) -> None:
        try:
            await self._recognise()
        except NotAdopted:
            # Our incarnation was of another database. In this one the number may be somebody else's: it is not ended.
            self._forget()
            raise

    def _forget(self) -> None:
        self._lease.end()
        self._incarnation = None

    async def stop(self) -> None:
        """Leave, so that others need not wait to find out; if that fails they will."""
        self._lease.end()
        if self._incarnation is not None:
            try:
                await self._nodes.leave(self._incarnation)
            except Unavailable as error:
                log.warning("node_left_without_saying_so", reason=error.reason)
