"""A pool: several cells that receive from one mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from actors.runtime.address import fail_ask
from actors.runtime.cell import Cell
from actors.runtime.child import Child
from actors.runtime.errors import Stopped
from actors.runtime.events import Abandoned
from actors.runtime.group import Group
from actors.runtime.spec import ChildSpec, ChildView, Kind, Pool, Strategy

M = TypeVar("M")


class PoolOfCells(Group, Generic[M]):
    """The cells of a pool. Each is restarted on its own; all drain at the same time.

    A cell ends when the mailbox is empty. A last message in the mailbox could be taken by the wrong cell.
    """

    kind: Kind = "pool"

    def __init__(self, spec: Pool[M], parent: Group) -> None:
        self._spec = spec
        self._unread = 0
        super().__init__(spec.name, Strategy.ONE_FOR_ONE, parent.settings)
        self.parent = parent

    def make_children(self) -> Sequence[Child]:
        pool = self._spec
        return [
            Cell(
                ChildSpec(f"{pool.name}-{n}", partial(pool.make, n), pool.address, drain_within=pool.drain_within),
                self,
                shares_mailbox=True,
            )
            for n in range(pool.size)
        ]

    def child_ended(self, child: Child, error: BaseException | None) -> None:
        super().child_ended(child, error)
        self._seal_when_deserted()

    async def freeze(self) -> None:
        await super().freeze()
        self._seal_when_deserted()

    def _seal_when_deserted(self) -> None:
        # Otherwise senders to cells that have all failed would wait for the end of the drain.
        if all(cell.retired for cell in self.children):
            self.retire()

    async def finish_children(self, within: float) -> list[Abandoned]:
        finished = await asyncio.gather(*(cell.finish(within) for cell in self.children))
        return [abandoned for cell in finished for abandoned in cell]

    async def close(self) -> list[Abandoned]:
        abandoned = await super().close()
        self.retire()
        unread, self._unread = self._unread, 0
        if unread:
            abandoned.append(Abandoned(self.name, unread, 0, receiving=False))
            self.emit(abandoned[-1])
        return abandoned

    def retire(self) -> None:
        super().retire()
        unread = self._spec.address.mailbox.seal()
        self._unread += len(unread)
        for entry in unread:
            fail_ask(entry, Stopped(self.name))

    def view(self) -> ChildView:
        return replace(super().view(), depth=self._spec.address.depth, capacity=self._spec.address.capacity)
