"""Watches the hearts of the nodes, ends the incarnations that are dead, and frees what they were sending.

Every node watches the beats of the others, by its own steady clock: a beat that was seen not to move for
`lease.DEATH` seconds is a dead node. It asks PostgreSQL alone: whatever else is away, or slow, holds up nothing here.
All it does is a compare-and-set, so it does not matter how many nodes do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from actors.lease import DEATH, Lease
from actors.lines import say_what_moved
from actors.repeating import FIRST_WAIT, Repeating
from service.domain.retry import RetryPolicy
from service.outages import Outages
from service.ports import Messages, NodeBeat, Nodes
from service.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the beats."""

STALLED = 3.0
"""Seconds between two looks after which they are forgotten: it was we who stood still."""


@dataclass
class Watch:
    """What was seen of the beats, and since when each stands still."""

    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    _looked_at: float = 0.0

    def dead(self, beats: list[NodeBeat], at: float) -> list[NodeBeat]:
        """Those whose beat has not moved for `DEATH` seconds of looking on."""
        if at - self._looked_at > STALLED:
            self._seen.clear()
        self._looked_at = at
        self._seen = {
            one.incarnation: before
            if (before := self._seen.get(one.incarnation)) is not None and before[0] == one.beat
            else (one.beat, at)
            for one in beats
        }
        return [one for one in beats if at - self._seen[one.incarnation][1] >= DEATH]


class Watchman(Repeating[object]):
    """The one that notices deaths. `on_living` hears how many live, `on_death` of each that does no longer."""

    def __init__(
        self,
        messages: Messages,
        nodes: Nodes,
        *,
        policy: RetryPolicy,
        lease: Lease,
        steady: Callable[[], float],
        on_living: Callable[[int], None],
        on_death: Callable[[], None],
        outages: Outages,
        metrics: Metrics,
    ) -> None:
        super().__init__(outages)
        self._messages = messages
        self._nodes = nodes
        self._policy = policy
        self._lease = lease
        self._steady = steady
        self._on_living = on_living
        self._on_death = on_death
        self._metrics = metrics
        self._watch = Watch()
        self._tickers_of: list[int] = []
        """Incarnations that were ended here, and whose ticker's last claim is not taken back yet."""

    async def turn(self) -> float:
        if not await self._lease.granted(within=LOOK_EVERY):
            return FIRST_WAIT
        await self._look()
        while self._tickers_of:
            # The ticker may have died between the claim and the stream. If it did not, its entries are there too, and
            # whichever comes second finds the rows gone.
            await self._messages.take_back_claim(incarnation=self._tickers_of[0])
            del self._tickers_of[0]
            self._on_death()
        await self._free_claims()
        return LOOK_EVERY

    async def _look(self) -> None:
        """End what is dead."""
        beats = await self._nodes.living()
        self._on_living(len(beats))
        for beat in self._watch.dead(beats, self._steady()):
            if beat.incarnation != self._lease.incarnation and await self._nodes.end(beat):
                self._metrics.node_deaths.inc()
                log.warning("node_died", dead_node=beat.node, incarnation=beat.incarnation)
                self._tickers_of.append(beat.incarnation)

    async def _free_claims(self) -> None:
        """At every look, whoever ended whom: an incarnation may have been ended by a call whose answer was lost."""
        total = 0
        while freed := await self._messages.free_claims(hold=self._policy.hold, attempts=self._policy.attempts):
            self._metrics.claims_freed([(one.status, one.occasion) for one in freed])
            await say_what_moved(self.ctx.name, freed)
            total += len(freed)
        if total:
            log.info("recovered", claims_freed=total)
