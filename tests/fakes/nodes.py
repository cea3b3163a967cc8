"""The fake of the port `Nodes`: a row per start, with a counter that grows while the node lives."""

from __future__ import annotations

from dataclasses import replace

from service.domain.planning import CalendarDefaults
from service.ports import NodeBeat
from tests.fakes.rows import NodeRow
from tests.fakes.truth import Truth


class FakeNodes:
    """Implements `service.ports.Nodes` for a node whose zone data is of the release `tzdata`."""

    def __init__(self, truth: Truth, *, tzdata: str | None = None, defaults: CalendarDefaults | None = None) -> None:
        self._truth = truth
        self._tzdata = tzdata
        self._defaults = defaults or CalendarDefaults()

    async def enter(self, node: str) -> int:
        incarnation = next(self._truth.next_incarnation)
        self._truth.nodes[incarnation] = NodeRow(
            incarnation=incarnation,
            node=node,
            tzdata=self._tzdata,
            send_at=self._defaults.send_at,
            leap_day=self._defaults.leap_day,
        )
        return incarnation

    async def beat(self, incarnation: int) -> bool:
        if not self._truth.lives(incarnation):
            return False
        row = self._truth.nodes[incarnation]
        self._truth.nodes[incarnation] = replace(row, heartbeat=row.heartbeat + 1)
        return True

    async def living(self) -> list[NodeBeat]:
        return [
            NodeBeat(row.incarnation, row.node, row.heartbeat) for row in self._truth.nodes.values() if not row.ended
        ]

    async def end(self, beat: NodeBeat) -> bool:
        if not self._truth.lives(beat.incarnation) or self._truth.nodes[beat.incarnation].heartbeat != beat.heartbeat:
            return False
        await self.leave(beat.incarnation)
        return True

    async def leave(self, incarnation: int) -> None:
        if self._truth.lives(incarnation):
            self._truth.nodes[incarnation] = replace(self._truth.nodes[incarnation], ended=True)
