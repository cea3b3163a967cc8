"""The cell of one actor in the tree. Instances come and go; the mailbox and the isolated tasks stay."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from actors.runtime.actor_instance import STOP_TIMEOUT, ActorInstance
from actors.runtime.address import fail_ask
from actors.runtime.child import Child, Parent
from actors.runtime.errors import Stopped
from actors.runtime.events import Abandoned, Drained, Draining, Event, Started, StopFailed, TaskFailed
from actors.runtime.spec import ActorState, ChildSpec, ChildView
from actors.runtime.tasks import failure_of, settle

M = TypeVar("M")
R = TypeVar("R")


class Cell(Child, Generic[M]):
    """One actor under supervision. In a pool it shares its mailbox, and the pool seals it."""

    kind = "actor"

    def __init__(self, spec: ChildSpec[M], parent: Parent, *, shares_mailbox: bool = False) -> None:
        super().__init__(spec.name)
        self.spec = spec
        self.mailbox = spec.address.mailbox
        self.draining = False
        self.isolated: set[asyncio.Task[Any]] = set()
        self._parent = parent
        self._shares_mailbox = shares_mailbox
        self._instance: ActorInstance[M] | None = None
        self._unread = 0
        self._closed = False

    def now(self) -> float:
        return self._parent.now()

    def emit(self, event: Event) -> None:
        """Report an event."""
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
        if self.draining and self._instance is not None:
            self._instance.wake()

    async def up(self) -> bool:
        self.enter(ActorState.STARTING)
        self._instance = ActorInstance(self)
        return await self._instance.started

    def instance_started(self, instance: ActorInstance[M]) -> None:
        """The start() of this instance has returned."""
        if not instance.halted:
            self.enter(ActorState.RUNNING)
            self.emit(Started(self.name))
            if not instance.started.done():
                instance.started.set_result(True)

    def instance_ended(self, instance: ActorInstance[M], error: BaseException | None) -> None:
        """This instance has ended and is cleaned up."""
        if not instance.halted:
            self._instance = None
            self.enter(ActorState.STOPPED if error is None else ActorState.FAILED)
            self._parent.child_ended(self, error)

    async def halt(self) -> None:
        instance = self._instance
        if instance is None:
            return
        instance.halt()
        # The work, its tasks and stop() take STOP_TIMEOUT each. An actor that refuses each cancellation is left behind.
        cancelled = await settle([instance.task], 4 * STOP_TIMEOUT)
        if not instance.task.done():
            self.emit(StopFailed(self.name, TimeoutError("the actor refuses to be cancelled")))
        self._instance = None
        self.enter(ActorState.STOPPED)
        if cancelled:
            raise asyncio.CancelledError

    async def freeze(self) -> None:
        if self._instance is None:
            self.retire()

    async def finish(self, within: float) -> list[Abandoned]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(within, self.spec.drain_within)
        self.draining = True
        if self.state is ActorState.RUNNING and self._instance is not None:
            self.enter(ActorState.DRAINING)
            self.emit(Draining(self.name))
            self._instance.wake()
            await asyncio.wait([self._instance.task], timeout=deadline - loop.time())
        else:
            await self.halt()
        # The isolated tasks of an instance that has crashed have until the deadline, too.
        while self.isolated and (remaining := deadline - loop.time()) > 0:
            await asyncio.wait(self.isolated, timeout=remaining)
        return await self.close()

    async def close(self) -> list[Abandoned]:
        first, self._closed = not self._closed, True
        receiving = self._instance is not None and self._instance.receiving
        cut_off = [*self.isolated, *(self._instance.owned if self._instance else ())]
        await self.halt()
        for task in cut_off:
            task.cancel()
        if await settle(cut_off, STOP_TIMEOUT):
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
                fail_ask(entry, Stopped(self.name))

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
