"""The fake of the port `Nodes`: a row per start, a counter that grows while it lives."""

from __future__ import annotations

from dataclasses import replace

from service.ports import NodeBeat
from tests.fakes.rows import NodeRow
from tests.fakes.truth import Truth


class FakeNodes:
    """Implements `service.ports.Nodes` for a node whose zone data is of the release `tzdata`."""

    def __init__(self, truth: Truth, *, tzdata: str | None = None) -> None:
        self._truth = truth
        self._tzdata = tzdata

    async def enter(self, node: str) -> int:
        incarnation = next(self._truth.next_incarnation)
        self._truth.nodes[incarnation] = NodeRow(incarnation=incarnation, node=node, tzdata=self._tzdata)
        return incarnation

    async def beat(self, incarnation: int) -> bool:
        if not self._truth.lives(incarnation):
            return False
        row = self._truth.nodes[incarnation]
        self._truth.nodes[incarnation] = replace(row, beat=row.beat + 1)
        return True

    async def living(self) -> list[NodeBeat]:
        return [NodeBeat(row.incarnation, row.node, row.beat) for row in self._truth.nodes.values() if not row.ended]

    async def end(self, beat: NodeBeat) -> bool:
        if not self._truth.lives(beat.incarnation) or self._truth.nodes[beat.incarnation].beat != beat.beat:
            return False
        await self.leave(beat.incarnation)
        return True

    async def leave(self, incarnation: int) -> None:
        if self._truth.lives(incarnation):
            self._truth.nodes[incarnation] = replace(self._truth.nodes[incarnation], ended=True)
