"""One life of an actor: from a new instance to its last breath, whatever ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.runtime.actor import Actor, Context, Timer
from actors.runtime.address import Asked, OwnAddress
from actors.runtime.errors import ActorFailed, Stopped, StrayCancellation
from actors.runtime.events import StopFailed, TaskFailed
from actors.runtime.mailbox import Nudge
from actors.runtime.tasks import failure_of, settle

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

M = TypeVar("M")
R = TypeVar("R")

STOP_WITHIN = 2.0
"""Seconds that cancelled tasks, and then stop(), may take: a drain that has run out of time still has to end."""

BURST = 100
"""Messages received in a row before others get a turn of the loop: `receive` need not wait for anything."""


class Life(Generic[M]):
    """Two tasks: `work` runs the code of the actor and may be cancelled by anybody at any moment, `task` outlives it,
    finds out why it ended and tidies up."""

    def __init__(self, cell: Cell[M]) -> None:
        loop = asyncio.get_running_loop()
        self.cell = cell
        self.owned: set[asyncio.Task[Any]] = set()
        self.halted = False
        self.receiving = False
        self.started: asyncio.Future[bool] = loop.create_future()
        """True once start() has returned, False when the life has ended before."""
        self._actor: Actor[M] | None = None
        self._over = False
        self._leaving = False
        self._failed_task: BaseException | None = None
        self._timers: set[Timer[M]] = set()
        self._fired: deque[Timer[M]] = deque()
        self._arrival: asyncio.Future[M | Asked[M] | Nudge] | None = None
        self._work = loop.create_task(self._run(), name=cell.name)
        self.task = loop.create_task(self._live(), name=f"{cell.name} (life)")

    def halt(self) -> None:
        """End soon, without being restarted for it."""
        self.halted = True
        self._work.cancel()

    def leave(self) -> None:
        """End normally after the message in hand."""
        self._leaving = True
        self.nudge()

    def nudge(self) -> None:
        """Let the actor look up from an empty mailbox."""
        if self._arrival is not None:
            self.cell.mailbox.nudge(self._arrival)

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
        self.nudge()

    def _owned_done(self, task: asyncio.Task[Any]) -> None:
        self.owned.discard(task)
        error = failure_of(task)
        if error is None:
            if self.cell.draining:
                self.nudge()
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
            self.cell.life_started(self)
            await self._serve(actor)
        finally:
            mailbox.readers.discard(self._work)

    async def _serve(self, actor: Actor[M]) -> None:
        cell, mailbox = self.cell, self.cell.mailbox
        told_to_drain = False
        in_a_row = 0
        # `halted` is looked at too, for an actor that has swallowed its cancellation.
        while not (self._leaving or self.halted):
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
                if not isinstance(entry, Nudge):
                    await self._receive(actor, entry)
            in_a_row += 1
            if in_a_row == BURST:
                in_a_row = 0
                await asyncio.sleep(0)

    async def _wait(self) -> M | Asked[M] | Nudge:
        arrival = self._arrival = self.cell.mailbox.arrival()
        try:
            return await arrival
        except asyncio.CancelledError:
            self.cell.mailbox.withdraw(arrival)
            raise
        finally:
            self._arrival = None

    async def _receive(self, actor: Actor[M], entry: M | Asked[M]) -> None:
        self.receiving = True
        if not isinstance(entry, Asked):
            await actor.receive(entry)
        elif entry.reply.awaited:
            try:
                await actor.receive(entry.message)
            except BaseException as error:  # a cancellation too: the asker must not wait for its deadline
                entry.reply.fail(ActorFailed(self.cell.name, error))
                raise
        self.receiving = False

    async def _live(self) -> None:
        # Nothing interrupts this task: it ends when the work has ended and been tidied up, within a bound.
        await settle([self._work])
        self._over = True
        for timer in list(self._timers):
            timer.cancel()
        owned = list(self.owned)
        for task in owned:
            task.cancel()
        await settle(owned, STOP_WITHIN)
        await self._stop()
        self.cell.life_over(self, self._why())
        if not self.started.done():
            self.started.set_result(False)

    async def _stop(self) -> None:
        if self._actor is None:
            return
        stopping = asyncio.get_running_loop().create_task(self._actor.stop(), name=f"{self.cell.name} (stop)")
        await settle([stopping], STOP_WITHIN)
        error: BaseException | None = TimeoutError(f"stop() took longer than {STOP_WITHIN:g} s")
        if stopping.done():
            error = failure_of(stopping)
        else:
            stopping.cancel()
            await settle([stopping], STOP_WITHIN)
        if error is not None:
            self.cell.emit(StopFailed(self.cell.name, error))

    def _why(self) -> BaseException | None:
        """The failure that ended the work; None for a normal end, or one that its supervisor wanted."""
        if self._failed_task is not None:
            return self._failed_task
        if self._work.cancelled():
            return None if self.halted else StrayCancellation(self.cell.name)
        return self._work.exception()
