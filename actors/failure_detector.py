"""Watches the heartbeats of all nodes, ends the incarnations of dead ones, and releases their claims.

Every node watches the others by its own steady clock. A node whose heartbeat has not moved for `lease.DEATH_TIMEOUT`
seconds is dead. Only PostgreSQL is read here, so no other slow server delays the detection, and looks go on while what
a dead node had is freed, however long that takes. Every step is a compare-and-set, so any number of nodes may do it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Never

import structlog

from actors.claims import release_claims
from actors.context import NodeContext
from actors.periodic import LeasedActor
from service.node.email_services import EmailServices
from service.node.lease import DEATH_TIMEOUT
from service.ports import Messages, NodeBeat, Nodes, Unavailable

log = structlog.get_logger(__name__)

HEARTBEAT_POLL_INTERVAL = 1.0
"""Seconds between two looks at the heartbeats."""

RELEASE_INTERVAL = 5.0
"""Seconds between two looks at the claims of ended nodes while the living nodes are the same.

Only a claim that was committed after the end of its node is found then. While a session holds a snapshot, a look reads
past every message that left since.
"""

OBSERVER_STALLED = 3.0
"""After this many seconds between two looks the table starts again, because this process stood still."""


@dataclass
class HeartbeatTable:
    """The last heartbeat that was seen of each incarnation, and since when it has not moved."""

    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    _looked_at: float = 0.0

    def dead(self, beats: list[NodeBeat], at: float) -> list[NodeBeat]:
        """Take a look made at second `at`; return those whose heartbeat has not moved for `DEATH_TIMEOUT` seconds."""
        if at - self._looked_at > OBSERVER_STALLED:
            self._seen.clear()
        self._looked_at = at
        self._seen = {
            one.incarnation: before
            if (before := self._seen.get(one.incarnation)) is not None and before[0] == one.heartbeat
            else (one.heartbeat, at)
            for one in beats
        }
        return [one for one in beats if at - self._seen[one.incarnation][1] >= DEATH_TIMEOUT]


class FailureDetector(LeasedActor[Never]):
    """Ends dead incarnations. It reports the living incarnations to `on_living`, and each death to `on_death`."""

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        nodes: Nodes,
        services: EmailServices,
        *,
        on_living: Callable[[Sequence[int]], None],
        on_death: Callable[[], None],
    ) -> None:
        super().__init__(node)
        self._messages = messages
        self._nodes = nodes
        self._services = services
        self._on_living = on_living
        self._on_death = on_death
        self._heartbeats = HeartbeatTable()
        self._tickers_to_undo: list[int] = []
        """Incarnations ended here whose ticker's last claim is not taken back yet."""
        self._released: tuple[Sequence[int], float] = ((), -math.inf)
        """The living incarnations when the claims of all others were released last, and when that was."""
        self._freeing: asyncio.Task[None] | None = None

    async def run_leased(self) -> float:
        living = await self._end_dead()
        if self._freeing is None or self._freeing.done():
            before, released_at = self._released
            at = self.node.clock.steady()
            if self._tickers_to_undo or living != before or at - released_at >= RELEASE_INTERVAL:
                self._freeing = self.ctx.spawn(self._free(living, at), name="free")
        return HEARTBEAT_POLL_INTERVAL

    async def _free(self, living: Sequence[int], at: float) -> None:
        """Free what the ended incarnations had when the node looked, at second `at`. A later look repeats a failure."""
        waiting = f"{self.ctx.name} (free)"
        try:
            while self._tickers_to_undo:
                # The ticker may have died between the claim and the stream. If its entries are in the stream, too, the
                # second of the two finds that the rows have moved.
                await self._messages.requeue_claim(incarnation=self._tickers_to_undo[0])
                del self._tickers_to_undo[0]
                self._on_death()
            await self._release_claims()
        except Unavailable as error:
            self.node.outages.met(waiting, error)
        else:
            self.node.outages.passed(waiting)
            self._released = living, at

    async def _end_dead(self) -> Sequence[int]:
        """End the incarnations of dead nodes; return the others in order."""
        beats = await self._nodes.living()
        living = sorted(beat.incarnation for beat in beats)
        self._on_living(living)
        for beat in self._heartbeats.dead(beats, self.node.clock.steady()):
            if beat.incarnation != self.node.lease.incarnation and await self._nodes.end(beat):
                self.node.metrics.node_deaths.inc()
                log.warning("node_died", dead_node=beat.node, incarnation=beat.incarnation)
                self._tickers_to_undo.append(beat.incarnation)
                living.remove(beat.incarnation)
        return living

    async def _release_claims(self) -> None:
        """Free the claims of all ended incarnations. An earlier call may have ended one without getting an answer."""
        total = await release_claims(self.node, self._messages, self._services, actor=self.ctx.name)
        if total:
            log.info("recovered", claims_released=total)
