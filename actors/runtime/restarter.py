"""Brings children up, one after the other: at the first start, and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from actors.runtime.child import Child
from actors.runtime.spec import ActorState, Strategy
from actors.runtime.tasks import settle


class Mending:
    """Children that are being brought up; `position` is the first that does not run yet."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.task: asyncio.Task[None]


class Mender:
    """Owns the tasks in which children are halted, waited for and started.

    Under ONE_FOR_ONE each child is mended on its own. Under REST_FOR_ONE there is one mending at a time, and a further
    failure replaces it by one that covers both; it begins when the one before has ended, so no two touch one child.
    """

    def __init__(
        self, name: str, children: Sequence[Child], strategy: Strategy, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self.begun = 0
        """How many children, from the first, have been started at all; the others are left alone."""
        self._name = name
        self._children = children
        self._strategy = strategy
        self._sleep = sleep
        self._under_way: dict[int, Mending] = {}

    def mend(self, first: int, delay: float) -> None:
        """Bring up this child after `delay` seconds; under REST_FOR_ONE halt and bring up those after it, too."""
        alone = self._strategy is Strategy.ONE_FOR_ONE
        key = first if alone else 0
        before = self._under_way.get(key)
        if before is not None:
            before.task.cancel()
            first = min(first, before.position)
        group = self._children[first : first + 1 if alone else self.begun]
        mending = self._under_way[key] = Mending(first)
        work = self._bring_up(mending, group, delay, before)
        mending.task = asyncio.get_running_loop().create_task(work, name=f"{self._name} (mending)")

        def done(_: asyncio.Task[None]) -> None:
            if self._under_way.get(key) is mending:
                del self._under_way[key]

        mending.task.add_done_callback(done)

    async def quiet(self) -> None:
        """Wait until nothing is being mended."""
        while self._under_way:
            await asyncio.wait([mending.task for mending in self._under_way.values()])

    async def cancel(self) -> None:
        """Stop mending. A child may be left half started, for the caller to halt, drain or close."""
        tasks = [mending.task for mending in self._under_way.values()]
        for task in tasks:
            task.cancel()
        if await settle(tasks):
            raise asyncio.CancelledError

    async def _bring_up(self, mending: Mending, group: Sequence[Child], delay: float, before: Mending | None) -> None:
        if before is not None and await settle([before.task]):
            raise asyncio.CancelledError
        for child in reversed(group):
            await child.halt()
        wanted = [child for child in group if not child.retired]
        if delay > 0:
            for child in wanted:
                child.enter(ActorState.BACKING_OFF)
            await self._sleep(delay)
        for child in wanted:
            if not await child.up():
                return  # its failure has been reported, and has begun another mending or the end
            mending.position = self._children.index(child) + 1
