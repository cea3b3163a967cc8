"""An event loop on virtual time: nothing is waited for, and what happens is a function of what was asked for.

Its clock stands still while anything is ready to run and then moves to the next timer. It knows processes: what was
started inside one can be stopped for a while, as SIGSTOP does, or be gone in an instant, as by kill -9.
"""

from __future__ import annotations

import asyncio
import heapq
import warnings
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any, Never, TypeVar

T = TypeVar("T")

BEGIN = 1_000.0
"""The first second of the clock. It is not 0, which would hide mistakes with missing values."""

_CANCELLED_TIMERS = 200
"""Timers that were called off and still lie on the heap before it is tidied up."""


class Stuck(Exception):
    """Nothing is ready and nothing ever will be."""


class Process:
    """Code that runs, stops and dies together. A task inherits it from the task that starts it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        """The callbacks that became due while it was stopped, in order."""
        self.drawn = 0
        """Numbers that it has drawn, where draws are numbered instead."""


INSIDE: ContextVar[Process | None] = ContextVar("process", default=None)
"""The process that the running code is part of; None is the world around them: servers, and the simulation itself."""


def inside() -> str:
    """The name of the process whose code runs."""
    process = INSIDE.get()
    return process.name if process is not None else "-"


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready in order, and lets time pass only between. Refuses sockets, threads and processes."""

    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        super().__init__()
        self._now = BEGIN
        self._called_off = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.errors: list[dict[str, Any]] = []
        """Errors that no task handled."""
        self.set_task_factory(_remember)
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def in_process(self, process: Process | None, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run a task inside that process, or outside of every."""
        context = copy_context()
        context.run(INSIDE.set, process)
        return self.create_task(work, name=name, context=context)

    def thaw(self, process: Process) -> None:
        """Let it go on, beginning with what it has missed."""
        process.frozen = False
        held, process.held = process.held, []
        self._ready.extend(held)

    def dead_letter(self) -> None:
        """Drop the tasks of dead processes, so that no warning of unfinished tasks appears."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what they would have waited for on their way out
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own
                    with suppress(RuntimeError):
                        task.get_coro().close()
        self._tasks.clear()
        self._ready.clear()
        self._scheduled.clear()

    # --- what asyncio.BaseEventLoop leaves to its subclasses, and its one step -----------------------------------

    def _run_once(self) -> None:
        timers, ready = self._scheduled, self._ready
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not ready:
            if not timers:
                raise Stuck
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(INSIDE)
            if process is None or not (process.dead or process.frozen):
                handle._run()
            elif process.frozen and not process.dead:
                process.held.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._called_off += 1
        if self._called_off > _CANCELLED_TIMERS:
            self._called_off = 0
            # In place: the step above has a name for this very list.
            self._scheduled[:] = [timer for timer in self._scheduled if not timer._cancelled]
            heapq.heapify(self._scheduled)

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError("there is nothing outside that could report events")

    def _write_to_self(self) -> None:
        """Do nothing: no thread sleeps in this loop."""

    def run_in_executor(self, *_: object) -> Never:
        """Refused: a thread runs in real time."""
        raise NotImplementedError("no threads in a simulation")


def _remember(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    assert isinstance(loop, VirtualLoop)
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    loop._tasks.append(task)
    if len(loop._tasks) > 5_000:
        loop._tasks = [one for one in loop._tasks if not one.done()]
    return task
