"""Enters the node into the cluster, sends its heartbeats, and renews the lease under which the other actors work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Never

import structlog

from actors.context import NodeContext
from actors.periodic import PeriodicActor
from service.node.lease import HEARTBEAT_INTERVAL
from service.ports import NodeName, Nodes, NotAdopted, Unavailable

log = structlog.get_logger(__name__)


class Membership(PeriodicActor[Never]):
    """Keeps the lease. When other nodes have ended the incarnation, it gives it up and enters with a new one.

    `admission` runs before the node enters and returns whether the node may work with the database. `recognise` runs
    before the entry and before each heartbeat. It raises NotAdopted when the database is not the one of before, such
    as after the restore of a backup under a running node.
    """

    def __init__(
        self,
        node: NodeContext,
        nodes: Nodes,
        *,
        name: NodeName,
        admission: Callable[[], Awaitable[bool]],
        recognise: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(node)
        self._nodes = nodes
        self._name = name
        self._admission = admission
        self._recognise = recognise
        self._incarnation: int | None = None
        self._entered: int | None = None
        """An incarnation that was begun, before it is known whether its name is its own."""

    async def run_once(self) -> float:
        if self._incarnation is None and not await self._admission():
            return HEARTBEAT_INTERVAL
        # This is read before the check, because the result of the check may be outdated when the heartbeat is written.
        asked_at = self.node.lease.now()
        await self._check_database()
        if self._incarnation is None:
            self._incarnation = await self._enter()
            log.info("node_entered", incarnation=self._incarnation)
        elif not await self._nodes.beat(self._incarnation):
            log.warning("node_evicted", incarnation=self._incarnation)
            self._give_up_incarnation()
            return 0.0
        self.node.lease.renew(self._incarnation, asked_at)
        return HEARTBEAT_INTERVAL

    async def _enter(self) -> int:
        """Begin an incarnation. If another living node has the same id, begin it under a name of its own."""
        # Kept when a later step fails: the next pass would take it for another node's.
        if self._entered is None or not await self._nodes.beat(self._entered):
            self._entered = await self._nodes.enter(str(self._name))
        incarnation = self._entered
        # Each node looks after it has entered, so at least one of two that enter at once sees the other.
        if any(one.node == str(self._name) and one.incarnation != incarnation for one in await self._nodes.living()):
            await self._nodes.leave(incarnation)
            shared = str(self._name)
            self._name.add_incarnation(incarnation)
            log.warning("node_id_shared", node_id=shared, name=str(self._name))
            self._entered = None
            incarnation = await self._nodes.enter(str(self._name))
        self._entered = None
        return incarnation

    async def _check_database(self) -> None:
        try:
            await self._recognise()
        except NotAdopted:
            # The incarnation belongs to the other database. Here the same number may be another node's: do not end it.
            self._give_up_incarnation()
            raise

    def _give_up_incarnation(self) -> None:
        self.node.lease.end()
        self._incarnation = self._entered = None

    async def stop(self) -> None:
        """Leave the cluster, so that other nodes need not wait until the heartbeats are overdue."""
        self.node.lease.end()
        incarnation = self._incarnation or self._entered
        if incarnation is not None:
            try:
                await self._nodes.leave(incarnation)
            except Unavailable as error:
                log.warning("node_leave_failed", reason=error.reason)
