"""Reads gauges of processes and servers during a measurement, and keeps the curves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from loadtest.programs import memory
from service.ports import Unavailable

SAMPLE_INTERVAL = 0.2
"""Seconds between two readings."""

Gauge = Callable[[], Awaitable[float]]


@dataclass(slots=True)
class Seen:
    """A curve per name: pairs of seconds since the start and value."""

    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def most(self, name: str, *, default: float = math.nan) -> float:
        """Return the highest value; `default` without readings, by which no limit is kept."""
        return max((value for _, value in self.curves.get(name, ())), default=default)

    def thinned(self, most: int = 300) -> dict[str, list[tuple[float, float]]]:
        """Return the curves with at most that many points, for a plot."""
        return {name: curve[:: -(-len(curve) // most)] for name, curve in self.curves.items() if curve}


@asynccontextmanager
async def watching(gauges: Mapping[str, Gauge], *, every: float = SAMPLE_INTERVAL) -> AsyncIterator[Seen]:
    """Read every gauge until the block ends, and once more then. Any error of a gauge but Unavailable ends it."""
    seen = Seen({name: [] for name in gauges})
    began = time.monotonic()

    async def look() -> None:
        for name, gauge in gauges.items():
            try:
                value = await gauge()
            except Unavailable:  # the server is busy: skip this reading
                continue
            seen.curves[name].append((time.monotonic() - began, value))

    async def look_again_and_again() -> None:
        while True:
            await look()
            await asyncio.sleep(every)

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(look_again_and_again())
        yield seen
        watcher.cancel()
    await look()


def memory_of(pids: list[int]) -> Gauge:
    """Return the megabytes of the largest of these processes; 0 for one that has ended."""

    async def look() -> float:
        sizes = [0.0]
        for pid in pids:
            try:
                sizes.append(memory(pid) / 1e6)
            except psutil.NoSuchProcess:
                continue
        return max(sizes)

    return look
