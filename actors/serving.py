"""Runs one piece of asynchronous work as a process: a fast event loop, signals, and an exit code.

SIGTERM and SIGINT end it, SIGUSR1 switches detailed logs on and off.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable

import structlog
import uvloop

from service.telemetry.logs import nobody_handled, toggle_debug

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (50_000, 20, 100)
"""Allocations between two passes of the cyclic collector. A wave allocates far more than it ever leaves in cycles."""


def serve(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run `work`, which gets an event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_with_signals(work))


async def _with_signals(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("stopped_without_draining", signal=number.name)
            os._exit(128 + number)
        stop.set()
        log.info("draining", signal=number.name)

    loop.set_exception_handler(nobody_handled)
    loop.add_signal_handler(signal.SIGUSR1, toggle_debug)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    # What was made by importing and starting stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return await work(stop)
