"""Looks at processes and servers while something is measured, and remembers what it saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from loadtest.programs import memory
from service.ports import Unavailable

LOOK_EVERY = 0.2
"""Seconds between two looks."""

Gauge = Callable[[], Awaitable[float]]


@dataclass(slots=True)
class Seen:
    """A curve for each name: pairs of seconds since the begin and the value then."""

    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def most(self, name: str) -> float:
        """The highest value; 0 when none was seen."""
        return max((value for _, value in self.curves.get(name, ())), default=0.0)

    def thinned(self, most: int = 300) -> dict[str, list[tuple[float, float]]]:
        """The curves with at most so many points, for a plot."""
        return {name: curve[:: -(-len(curve) // most)] for name, curve in self.curves.items() if curve}


@asynccontextmanager
async def watching(gauges: Mapping[str, Gauge], *, every: float = LOOK_EVERY) -> AsyncIterator[Seen]:
    """Look at every gauge until the block ends; a last time then. What a gauge raises ends it, but for Unavailable."""
    seen = Seen({name: [] for name in gauges})
    began = time.monotonic()

    async def look() -> None:
        for name, gauge in gauges.items():
            try:
                value = await gauge()
            except Unavailable:  # a server with too much to do: one look less
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
    """Megabytes of the largest of these processes; 0 for one that has ended."""

    async def look() -> float:
        sizes = [0.0]
        for pid in pids:
            try:
                sizes.append(memory(pid) / 1e6)
            except psutil.NoSuchProcess:
                continue
        return max(sizes)

    return look
