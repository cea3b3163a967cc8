"""Runs asynchronous work as a process: a fast event loop, signals, an exit code.

A node is asked to stop by an event (`serve`). A command of limited length is cancelled (`run_cancellable`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import structlog
import uvloop

from service.telemetry.logs import log_unhandled, toggle_debug

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (50_000, 20, 100)
"""Allocations between two runs of the cyclic collector. A wave allocates much, and leaves little in cycles."""

Signals = list[signal.Signals]
"""The signals that have arrived, in order."""


MAX_DESCRIPTORS = 65_536
"""The soft limit of file descriptors that a process sets, where the hard limit allows it."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors towards the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # some systems have a lower maximum than the hard limit says
        return soft
    return wanted


def serve(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run `work` and return its exit code. SIGTERM and SIGINT set its event; a second one ends the process at once.

    SIGUSR1 switches debug logs on and off.
    """
    raise_descriptor_limit()

    async def run() -> int:
        stop = asyncio.Event()

        def stop_or_exit(number: signal.Signals) -> None:
            if stop.is_set():
                log.warning("stopped_without_draining", signal=number.name)
                os._exit(128 + number)
            stop.set()
            log.info("draining", signal=number.name)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        loop.add_signal_handler(signal.SIGUSR1, toggle_debug)
        _handle((signal.SIGTERM, signal.SIGINT), stop_or_exit)
        # Objects made by imports and start-up stay alive: the collector need not look at them again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        return await work(stop)

    return _run(run())


def run_cancellable(work: Callable[[Signals], Awaitable[int]]) -> int:
    """Run `work` and return its exit code. Each SIGINT, SIGTERM and SIGHUP cancels it, and is added to its list.

    Under nohup, which lets it be ignored, SIGHUP stays ignored.
    """

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        arrived: Signals = []

        def cancel(number: signal.Signals) -> None:
            arrived.append(number)
            task.cancel()

        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
        _handle({signal.SIGINT, signal.SIGTERM, signal.SIGHUP} - ignored, cancel)
        return await work(arrived)

    return _run(run())


def _handle(numbers: Iterable[signal.Signals], handler: Callable[[signal.Signals], None]) -> None:
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, handler, number)


def _run(work: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
