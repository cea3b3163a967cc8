"""The supervisor: its owner starts it, waits for it and drains it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from actors.runtime.cell import Cell
from actors.runtime.child import Child
from actors.runtime.errors import Stopped
from actors.runtime.events import Abandoned, DrainReport, Emit
from actors.runtime.group import Group
from actors.runtime.pool import PoolOfCells
from actors.runtime.restarts import Backoff, Intensity, SupervisorSettings, kind_of
from actors.runtime.spec import ChildSpec, Kind, Pool, Strategy
from actors.runtime.tasks import outlast, settle

AnyChild: TypeAlias = "ChildSpec[Any] | Pool[Any] | Supervisor"
"""A child of a supervisor, for messages of any type."""


class Supervisor(Group):
    """Starts its children in order, restarts those that fail, gives up in time, and drains them in reverse.

    As the child of another supervisor it is started and drained by that one. When it gives up, it is a failed child
    there; the failure of the root is raised in `wait`.
    """

    kind: Kind = "supervisor"

    def __init__(
        self,
        name: str,
        children: Sequence[AnyChild],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
        on_event: Emit | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        describe: Callable[[BaseException], str] = kind_of,
    ) -> None:
        """Make a tree; nothing runs yet. `clock` and `sleep` (in seconds) serve intensity and back-off.

        `describe` makes the `last_error` of a view from a failure. By default it is the class name alone, because the
        text of an error may quote data.

        Raises ValueError when two children have the same name.
        """
        names = [child.name for child in children]
        if len(set(names)) < len(names):
            raise ValueError(f"children of {name} must have different names: {', '.join(names)}")
        self._given = children
        self._draining = False
        self._report = DrainReport((), 0.0)
        settings = SupervisorSettings(intensity or Intensity(), backoff or Backoff(), clock, sleep, describe)
        super().__init__(name, strategy, settings, on_event)

    def make_children(self) -> Sequence[Child]:
        return [self._place(child) for child in self._given]

    def _place(self, child: AnyChild) -> Child:
        match child:
            case ChildSpec():
                return Cell(child, self)
            case Pool():
                return PoolOfCells(child, self)
            case Supervisor():
                child.parent = self
                return child

    async def start(self) -> None:
        """Start the children in order, each when the one before it runs; retry failures within the intensity.

        A cancelled or failed start leaves no task behind.
        Raises TooManyRestarts when it gives up; Stopped when it is drained meanwhile.
        """
        try:
            up = await self.up()
        except asyncio.CancelledError:
            await outlast(self._end())
            raise
        if self._failure is not None:
            raise self._failure
        if not up:
            raise Stopped(self.name)

    async def wait(self) -> None:
        """Return after the drain. Raises TooManyRestarts when the failures exceed the intensity."""
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def run(self) -> None:
        """Start, then wait. A cancellation ends everything at once. Raises TooManyRestarts."""
        try:
            with suppress(Stopped):  # drained during the start: the run ends with the drain
                await self.start()
            await self.wait()
        finally:
            await outlast(self._end())

    async def drain(self, within: float) -> DrainReport:
        """Drain the children in reverse order of their start, in `within` seconds altogether, and end them.

        No child is restarted from now on. Work that is not finished in time is cancelled, which may take a few seconds
        more. A second call waits for the first. A cancelled call ends everything at once.
        """
        if self._draining:
            await self._over.wait()
            return self._report
        self._draining = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            abandoned = await self.finish(within)
            self._report = DrainReport(tuple(abandoned), loop.time() - began)
        finally:
            await outlast(self._end())
        return self._report

    async def finish_children(self, within: float) -> list[Abandoned]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        abandoned: list[Abandoned] = []
        for child in reversed(self.children):
            abandoned += await child.finish(max(0.0, deadline - loop.time()))
        return abandoned

    async def _end(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            await settle([self._giving_up])
        await self.close()
        self._over.set()
