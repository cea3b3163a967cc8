"""Waiting for tasks to the end, whatever happens to the one who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

from actors.runtime.errors import StrayCancellation


async def settle(tasks: Collection[asyncio.Task[Any]], within: float | None = None) -> bool:
    """Wait until the tasks are done, or `within` seconds are over.

    Being cancelled does not interrupt it: it tells so by returning True, and its caller raises when it has tidied up.
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
    """Do the work to its end although the caller may be cancelled meanwhile; the cancellation is raised then."""
    task = asyncio.get_running_loop().create_task(work)
    cancelled = await settle([task])
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """The error of a task that is done. Cancelled by somebody on purpose is none; a cancellation met inside is one."""
    if task.cancelled():
        return None if task.cancelling() else StrayCancellation(task.get_name())
    return task.exception()
