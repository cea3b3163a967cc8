"""The cell: the place of one actor in the tree. Its instances come and go, its mailbox and isolated tasks stay."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from actors.runtime.address import lose
from actors.runtime.child import Child, Parent
from actors.runtime.errors import Stopped
from actors.runtime.events import Abandoned, Drained, Draining, Event, Started, StopFailed, TaskFailed
from actors.runtime.life import STOP_WITHIN, Life
from actors.runtime.spec import ActorState, ChildSpec, ChildView
from actors.runtime.tasks import failure_of, settle

M = TypeVar("M")
R = TypeVar("R")


class Cell(Child, Generic[M]):
    """One actor under supervision. In a pool it shares its mailbox, which then is not its own to seal."""

    kind = "actor"

    def __init__(self, spec: ChildSpec[M], parent: Parent, *, shares_mailbox: bool = False) -> None:
        super().__init__(spec.name)
        self.spec = spec
        self.restart = spec.restart
        self.mailbox = spec.address.mailbox
        self.draining = False
        self.isolated: set[asyncio.Task[Any]] = set()
        self._parent = parent
        self._shares_mailbox = shares_mailbox
        self._life: Life[M] | None = None
        self._unread = 0
        self._closed = False

    def now(self) -> float:
        return self._parent.now()

    def emit(self, event: Event) -> None:
        """Report a fact."""
        self._parent.emit(event)

    def adopt(self, work: Coroutine[Any, Any, R], name: str) -> asyncio.Task[R]:
        """Run an isolated task; see Context.spawn."""
        if self._closed:
            work.close()
            raise Stopped(self.name)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.isolated.add(task)
        task.add_done_callback(self._isolated_done)
        return task

    def _isolated_done(self, task: asyncio.Task[Any]) -> None:
        self.isolated.discard(task)
        error = failure_of(task)
        if error is not None:
            self.emit(TaskFailed(self.name, task.get_name(), error))
        if self.draining and self._life is not None:
            self._life.nudge()

    async def up(self) -> bool:
        self.enter(ActorState.STARTING)
        self._life = Life(self)
        return await self._life.started

    def life_started(self, life: Life[M]) -> None:
        """The start() of this life has returned."""
        if not life.halted:
            self.enter(ActorState.RUNNING)
            self.emit(Started(self.name))
            if not life.started.done():
                life.started.set_result(True)

    def life_over(self, life: Life[M], error: BaseException | None) -> None:
        """This life has ended and has been tidied up."""
        if not life.halted:
            self._life = None
            self.enter(ActorState.STOPPED if error is None else ActorState.FAILED)
            self._parent.child_ended(self, error)

    async def halt(self) -> None:
        life = self._life
        if life is None:
            return
        life.halt()
        # Cancelling the work, its tasks and stop() take STOP_WITHIN each; who refuses all of them is left behind.
        cancelled = await settle([life.task], 4 * STOP_WITHIN)
        if not life.task.done():
            self.emit(StopFailed(self.name, TimeoutError("the actor refuses to be cancelled")))
        self._life = None
        self.enter(ActorState.STOPPED)
        if cancelled:
            raise asyncio.CancelledError

    async def freeze(self) -> None:
        if self._life is None:
            self.retire()

    async def finish(self, within: float) -> list[Abandoned]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(within, self.spec.drain_within)
        self.draining = True
        if self.state is ActorState.RUNNING and self._life is not None:
            self.enter(ActorState.DRAINING)
            self.emit(Draining(self.name))
            self._life.nudge()
            await asyncio.wait([self._life.task], timeout=deadline - loop.time())
        else:
            await self.halt()
        # Those of a life that has crashed on the way have until the deadline, too.
        while self.isolated and (remaining := deadline - loop.time()) > 0:
            await asyncio.wait(self.isolated, timeout=remaining)
        return await self.close()

    async def close(self) -> list[Abandoned]:
        first, self._closed = not self._closed, True
        receiving = self._life is not None and self._life.receiving
        cut_off = [*self.isolated, *(self._life.owned if self._life else ())]
        await self.halt()
        for task in cut_off:
            task.cancel()
        if await settle(cut_off, STOP_WITHIN):
            raise asyncio.CancelledError
        self.retire()
        unread, self._unread = self._unread, 0
        left = [Abandoned(self.name, unread, len(cut_off), receiving)] if unread or cut_off or receiving else []
        if left or first:
            self.emit(left[0] if left else Drained(self.name))
        return left

    def retire(self) -> None:
        self.retired = True
        if not self._shares_mailbox:
            unread = self.mailbox.seal()
            self._unread += len(unread)
            for entry in unread:
                lose(entry, Stopped(self.name))

    def view(self) -> ChildView:
        return ChildView(
            name=self.name,
            kind=self.kind,
            state=self.state,
            depth=None if self._shares_mailbox else len(self.mailbox),
            capacity=None if self._shares_mailbox else self.mailbox.capacity,
            restarts=self.restarts,
            last_error=self.last_error,
            since=self.since,
        )
