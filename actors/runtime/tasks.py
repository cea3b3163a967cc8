"""Waits for tasks that a cancellation of the caller does not interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

from actors.runtime.errors import StrayCancellation


async def settle(tasks: Collection[asyncio.Task[Any]], within: float | None = None) -> bool:
    """Wait until the tasks are done, or `within` seconds are over; return True when the caller was cancelled meanwhile.

    A cancellation does not interrupt the wait. The caller raises it when it has cleaned up.
    """
    cancelled = False
    loop = asyncio.get_running_loop()
    deadline = None if within is None else loop.time() + within
    while pending := [task for task in tasks if not task.done()]:
        remaining = None if deadline is None else deadline - loop.time()
        if remaining is not None and remaining <= 0:
            break
        try:
            await asyncio.wait(pending, timeout=remaining)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


async def outlast(work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end, also when the caller is cancelled; raise the cancellation after that."""
    task = asyncio.get_running_loop().create_task(work)
    cancelled = await settle([task])
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return the error of a task that is done. To cancel a task is no error; a cancellation raised inside it is one."""
    if task.cancelled():
        return None if task.cancelling() else StrayCancellation(task.get_name())
    return task.exception()
