"""One instance of an actor: from its start until it has ended and is cleaned up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.runtime.actor import Actor, Context, Timer
from actors.runtime.address import Envelope, OwnAddress
from actors.runtime.errors import ActorFailed, Stopped, StrayCancellation
from actors.runtime.events import StopFailed, TaskFailed
from actors.runtime.mailbox import WakeUp
from actors.runtime.tasks import failure_of, settle

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

M = TypeVar("M")
R = TypeVar("R")

STOP_TIMEOUT = 2.0
"""Seconds for cancelled tasks, and then for stop(). A drain without time left must still end."""

BURST = 100
"""Messages received in a row before other tasks run: `receive` need not wait for anything."""


class ActorInstance(Generic[M]):
    """Two tasks. `_work` runs the code of the actor, and any code may cancel it. `task` outlives it, finds the reason
    of the end, and cleans up."""

    def __init__(self, cell: Cell[M]) -> None:
        loop = asyncio.get_running_loop()
        self.cell = cell
        self.owned: set[asyncio.Task[Any]] = set()
        self.halted = False
        self.receiving = False
        self.started: asyncio.Future[bool] = loop.create_future()
        """True once start() has returned; False when the instance has ended before."""
        self._actor: Actor[M] | None = None
        self._over = False
        self._failed_task: BaseException | None = None
        self._timers: set[Timer[M]] = set()
        self._fired: deque[Timer[M]] = deque()
        self._arrival: asyncio.Future[M | Envelope[M] | WakeUp] | None = None
        self._work = loop.create_task(self._run(), name=cell.name)
        self.task = loop.create_task(self._supervise(), name=f"{cell.name} (instance)")

    def halt(self) -> None:
        """End now, without a restart."""
        self.halted = True
        self._work.cancel()

    def wake(self) -> None:
        """End the actor's wait for a message."""
        if self._arrival is not None:
            self.cell.mailbox.wake(self._arrival)

    def after(self, seconds: float, message: M) -> Timer[M]:
        """See Context.after."""
        timer = Timer(message, self._timers)
        if not self._over:
            timer.arm(asyncio.get_running_loop().call_later(seconds, self._fire, timer))
        return timer

    def own(self, work: Coroutine[Any, Any, R], name: str) -> asyncio.Task[R]:
        """See Context.spawn."""
        if self._over:
            work.close()
            raise Stopped(self.cell.name)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.owned.add(task)
        task.add_done_callback(self._owned_done)
        return task

    def _fire(self, timer: Timer[M]) -> None:
        self._fired.append(timer)
        self.wake()

    def _owned_done(self, task: asyncio.Task[Any]) -> None:
        self.owned.discard(task)
        error = failure_of(task)
        if error is None:
            if self.cell.draining:
                self.wake()
        elif self._failed_task is None and not self._work.done():
            self._failed_task = error
            self._work.cancel()
        else:
            self.cell.emit(TaskFailed(self.cell.name, task.get_name(), error))

    async def _run(self) -> None:
        mailbox = self.cell.mailbox
        actor = self._actor = self.cell.spec.make()
        mailbox.readers.add(self._work)
        try:
            await actor.start(Context(self.cell.name, OwnAddress(self.cell.spec.address), self))
            self.cell.instance_started(self)
            await self._serve(actor)
        finally:
            mailbox.readers.discard(self._work)

    async def _serve(self, actor: Actor[M]) -> None:
        cell, mailbox = self.cell, self.cell.mailbox
        told_to_drain = False
        in_a_row = 0
        # `halted` is checked, too: the actor may have swallowed its cancellation.
        while not self.halted:
            if cell.draining and not told_to_drain:
                told_to_drain = True
                await actor.drain()
                mailbox.close()
            elif self._fired:
                timer = self._fired.popleft()
                if timer in self._timers:
                    self._timers.discard(timer)
                    await self._receive(actor, timer.message)
            elif mailbox:
                await self._receive(actor, mailbox.take())
            elif told_to_drain and not self.owned and not cell.isolated:
                return
            else:
                entry = await self._wait()
                in_a_row = 0
                if not isinstance(entry, WakeUp):
                    await self._receive(actor, entry)
            in_a_row += 1
            if in_a_row == BURST:
                in_a_row = 0
                await asyncio.sleep(0)

    async def _wait(self) -> M | Envelope[M] | WakeUp:
        arrival = self._arrival = self.cell.mailbox.arrival()
        try:
            return await arrival
        except asyncio.CancelledError:
            self.cell.mailbox.withdraw(arrival)
            raise
        finally:
            self._arrival = None

    async def _receive(self, actor: Actor[M], entry: M | Envelope[M]) -> None:
        self.receiving = True
        if not isinstance(entry, Envelope):
            await actor.receive(entry)
        elif entry.reply.awaited:
            try:
                await actor.receive(entry.message)
            except BaseException as error:  # a cancellation, too: the caller must not wait for its deadline
                entry.reply.fail(ActorFailed(self.cell.name, error))
                raise
        self.receiving = False

    async def _supervise(self) -> None:
        # This task is never interrupted. It ends when the work has ended and is cleaned up, within a bound.
        await settle([self._work])
        self._over = True
        for timer in list(self._timers):
            timer.cancel()
        owned = list(self.owned)
        for task in owned:
            task.cancel()
        await settle(owned, STOP_TIMEOUT)
        await self._stop()
        self.cell.instance_ended(self, self._why())
        if not self.started.done():
            self.started.set_result(False)

    async def _stop(self) -> None:
        if self._actor is None:
            return
        stopping = asyncio.get_running_loop().create_task(self._actor.stop(), name=f"{self.cell.name} (stop)")
        await settle([stopping], STOP_TIMEOUT)
        error: BaseException | None = TimeoutError(f"stop() took longer than {STOP_TIMEOUT:g} s")
        if stopping.done():
            error = failure_of(stopping)
        else:
            stopping.cancel()
            await settle([stopping], STOP_TIMEOUT)
        if error is not None:
            self.cell.emit(StopFailed(self.cell.name, error))

    def _why(self) -> BaseException | None:
        """The failure that ended the work; None after a drain, and for an end by its supervisor."""
        if self._failed_task is not None:
            return self._failed_task
        if self._work.cancelled():
            return None if self.halted else StrayCancellation(self.cell.name)
        return self._work.exception()
