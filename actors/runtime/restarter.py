"""Starts children one after the other: at the first start, and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from actors.runtime.child import Child
from actors.runtime.spec import ActorState, Strategy
from actors.runtime.tasks import settle


class RestartInProgress:
    """Children that are being started; `position` is the first that does not run yet."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.task: asyncio.Task[None]


class Restarter:
    """Owns the tasks that halt and start children.

    Under ONE_FOR_ONE each child is restarted on its own. Under REST_FOR_ONE one restart is in progress at a time. A
    further failure replaces it by a restart that covers both, which begins when the first has ended. So no two restarts
    touch the same child.
    """

    def __init__(
        self, name: str, children: Sequence[Child], strategy: Strategy, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self.begun = 0
        """The number of children, from the first, that have been started at all; the others are left alone."""
        self._name = name
        self._children = children
        self._strategy = strategy
        self._sleep = sleep
        self._under_way: dict[int, RestartInProgress] = {}

    def restart(self, first: int, delay: float) -> None:
        """Start this child after `delay` seconds; under REST_FOR_ONE halt and start those after it, too."""
        alone = self._strategy is Strategy.ONE_FOR_ONE
        key = first if alone else 0
        before = self._under_way.get(key)
        if before is not None:
            before.task.cancel()
            first = min(first, before.position)
        group = self._children[first : first + 1 if alone else self.begun]
        restart = self._under_way[key] = RestartInProgress(first)
        work = self._bring_up(restart, group, delay, before)
        restart.task = asyncio.get_running_loop().create_task(work, name=f"{self._name} (restart)")

        def done(_: asyncio.Task[None]) -> None:
            if self._under_way.get(key) is restart:
                del self._under_way[key]

        restart.task.add_done_callback(done)

    async def quiet(self) -> None:
        """Wait until no restart is in progress."""
        while self._under_way:
            await asyncio.wait([restart.task for restart in self._under_way.values()])

    async def cancel(self) -> None:
        """Cancel all restarts. A child may be left half started; the caller halts, drains or closes it."""
        tasks = [restart.task for restart in self._under_way.values()]
        for task in tasks:
            task.cancel()
        if await settle(tasks):
            raise asyncio.CancelledError

    async def _bring_up(
        self, restart: RestartInProgress, group: Sequence[Child], delay: float, before: RestartInProgress | None
    ) -> None:
        if before is not None and await settle([before.task]):
            raise asyncio.CancelledError
        for child in reversed(group):
            await child.halt()
        if delay > 0:
            for child in group:
                child.enter(ActorState.BACKING_OFF)
            await self._sleep(delay)
        for child in group:
            if not await child.up():
                return  # its failure is reported, and has begun another restart or the end
            restart.position = self._children.index(child) + 1
