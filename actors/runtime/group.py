"""A group of children: started in order, restarted within a budget, ended in reverse order."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Sequence

from actors.runtime.child import Child, Parent
from actors.runtime.errors import TooManyRestarts
from actors.runtime.events import (
    Abandoned,
    Crashed,
    Drained,
    Draining,
    Emit,
    Escalated,
    Event,
    Restarting,
    Started,
)
from actors.runtime.restarter import Restarter
from actors.runtime.restarts import Budget, SupervisorSettings
from actors.runtime.spec import ActorState, ChildView, Strategy
from actors.runtime.tasks import settle


class Group(Child):
    """The common part of supervisor and pool. It gives up, which is its own failure, when its budget is spent."""

    def __init__(
        self, name: str, strategy: Strategy, settings: SupervisorSettings, on_event: Emit | None = None
    ) -> None:
        super().__init__(name)
        self.settings = settings
        self.parent: Parent | None = None
        self.children = self.make_children()
        self._on_event = on_event
        self._restarter = Restarter(name, self.children, strategy, settings.sleep)
        self._budget = Budget(settings)
        self._restarting = False  # false while halted, and after `freeze`
        self._closing = False
        self._failure: TooManyRestarts | None = None
        self._giving_up: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    @abstractmethod
    def make_children(self) -> Sequence[Child]:
        """The children, in the order of their start."""

    @abstractmethod
    async def finish_children(self, within: float) -> list[Abandoned]:
        """Drain the children."""

    # --- For its children ------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.settings.clock()

    def emit(self, event: Event) -> None:
        """Report an event to the callback, or to the supervisor above."""
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception as error:  # a failure of the observer must not become a failure of the tree
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"the observer of {self.name} failed on {type(event).__name__}", "exception": error}
                )
        elif self.parent is not None:
            self.parent.emit(event)

    def child_ended(self, child: Child, error: BaseException | None) -> None:
        """Restart the child, retire it, or give up."""
        if error is not None:
            child.last_error = self.settings.describe(error)
            self.emit(Crashed(child.name, error))
        if error is None or self._closing:
            child.retire()
        elif self._restarting:
            self._restart(child, error)

    def _restart(self, child: Child, error: BaseException) -> None:
        delay = self._budget.spend(child.name)
        if delay is None:
            intensity = self.settings.intensity
            self._failure = TooManyRestarts(self.name, intensity.restarts, intensity.within, error)
            self._restarting = False
            self.emit(Escalated(self.name, self._failure))
            self._giving_up = asyncio.get_running_loop().create_task(self._give_up(self._failure))
            return
        child.restarts += 1
        child.enter(ActorState.BACKING_OFF)
        self.emit(Restarting(child.name, delay, child.restarts))
        self._restarter.restart(self.children.index(child), delay)

    async def _give_up(self, failure: TooManyRestarts) -> None:
        await self._halt_children()
        self.enter(ActorState.FAILED)
        if self.parent is not None:
            self.parent.child_ended(self, failure)
            return
        await self.freeze()
        await self.finish_children(math.inf)  # isolated tasks keep the time that their actors give them
        await self.close()
        self.enter(ActorState.FAILED)
        self._over.set()

    # --- As a child ------------------------------------------------------------------------------------------------

    async def up(self) -> bool:
        if self._closing:
            return False
        self._begin()
        while self._restarting and self._restarter.begun < len(self.children):
            self._restarter.begun += 1
            self._restarter.restart(self._restarter.begun - 1, delay=0.0)
            await self._restarter.quiet()
        if self._giving_up is not None:
            await asyncio.wait([self._giving_up])
        if self._restarting:
            self.enter(ActorState.RUNNING)
            self.emit(Started(self.name))
        return self._restarting

    def _begin(self) -> None:
        self._restarter.begun = 0
        self._budget.refill()
        self._failure = self._giving_up = None
        self._restarting = True
        self.enter(ActorState.STARTING)

    async def halt(self) -> None:
        if self._giving_up is not None and await settle([self._giving_up]):
            raise asyncio.CancelledError
        await self._halt_children()
        self.enter(ActorState.STOPPED)

    async def _halt_children(self) -> None:
        await self._restart_nothing()
        for child in reversed(self.children):
            await child.halt()

    async def _restart_nothing(self) -> None:
        self._restarting = False
        await self._restarter.cancel()

    async def freeze(self) -> None:
        self._closing = True
        await self._restart_nothing()
        for child in self.children:
            await child.freeze()

    async def finish(self, within: float) -> list[Abandoned]:
        await self.freeze()
        self.enter(ActorState.DRAINING)
        self.emit(Draining(self.name))
        abandoned = await self.finish_children(within) + await self.close()
        if not abandoned:
            self.emit(Drained(self.name))
        return abandoned

    async def close(self) -> list[Abandoned]:
        self._closing = True
        await self._restart_nothing()
        abandoned: list[Abandoned] = []
        for child in reversed(self.children):
            abandoned += await child.close()
        self.enter(ActorState.STOPPED)
        return abandoned

    def retire(self) -> None:
        self.retired = True
        for child in self.children:
            child.retire()

    def view(self) -> ChildView:
        """The whole tree, as it is now."""
        return ChildView(
            name=self.name,
            kind=self.kind,
            state=self.state,
            depth=None,
            capacity=None,
            restarts=self.restarts,
            last_error=self.last_error,
            since=self.since,
            children=tuple(child.view() for child in self.children),
        )
