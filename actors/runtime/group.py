"""A group of children: brought up in order, restarted within a budget, ended in reverse order."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Sequence

from actors.runtime.child import Child, Parent
from actors.runtime.errors import EndedByItself, TooManyRestarts
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
from actors.runtime.mender import Mender
from actors.runtime.restarts import Budget, Rules
from actors.runtime.spec import ActorState, ChildView, Restart, Strategy
from actors.runtime.tasks import settle


class Group(Child):
    """What a supervisor and a pool have in common. It gives up when its budget is spent, which is its own failure."""

    def __init__(self, name: str, strategy: Strategy, rules: Rules, on_event: Emit | None = None) -> None:
        super().__init__(name)
        self.rules = rules
        self.parent: Parent | None = None
        self.children = self.make_children()
        self._on_event = on_event
        self._mender = Mender(name, self.children, strategy, rules.sleep)
        self._budget = Budget(rules)
        self._restarting = False  # whether failures are answered with a restart: not while halted, nor after freezing
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
        return self.rules.clock()

    def emit(self, event: Event) -> None:
        """Report a fact to the callback, or to the supervisor above."""
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception as error:  # an observer that fails must not become a failure of what it observes
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"the observer of {self.name} failed on {type(event).__name__}", "exception": error}
                )
        elif self.parent is not None:
            self.parent.emit(event)

    def child_ended(self, child: Child, error: BaseException | None) -> None:
        """Decide what follows from the end of a child."""
        if error is None and child.restart is Restart.PERMANENT and not self._closing:
            error = EndedByItself(child.name)
        if error is not None:
            child.last_error = self.rules.describe(error)
            self.emit(Crashed(child.name, error))
        if error is None or child.restart is Restart.TEMPORARY or self._closing:
            child.retire()
        elif self._restarting:
            self._restart(child, error)

    def _restart(self, child: Child, error: BaseException) -> None:
        delay = self._budget.spend(child.name)
        if delay is None:
            intensity = self.rules.intensity
            self._failure = TooManyRestarts(self.name, intensity.restarts, intensity.within, error)
            self._restarting = False
            self.emit(Escalated(self.name, self._failure))
            self._giving_up = asyncio.get_running_loop().create_task(self._give_up(self._failure))
            return
        child.restarts += 1
        child.enter(ActorState.BACKING_OFF)
        self.emit(Restarting(child.name, delay, child.restarts))
        self._mender.mend(self.children.index(child), delay)

    async def _give_up(self, failure: TooManyRestarts) -> None:
        await self._halt_children()
        self.enter(ActorState.FAILED)
        if self.parent is not None:
            self.parent.child_ended(self, failure)
            return
        await self.freeze()
        await self.finish_children(math.inf)  # isolated tasks still have the time that their actors give them
        await self.close()
        self.enter(ActorState.FAILED)
        self._over.set()

    # --- As a child ------------------------------------------------------------------------------------------------

    async def up(self) -> bool:
        if self._closing:
            return False
        self._begin()
        while self._restarting and self._mender.begun < len(self.children):
            self._mender.begun += 1
            self._mender.mend(self._mender.begun - 1, delay=0.0)
            await self._mender.quiet()
        if self._giving_up is not None:
            await asyncio.wait([self._giving_up])
        if self._restarting:
            self.enter(ActorState.RUNNING)
            self.emit(Started(self.name))
        return self._restarting

    def _begin(self) -> None:
        self._mender.begun = 0
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
        await self._mender.cancel()

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
