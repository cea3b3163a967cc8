"""Reads, every few seconds, the figures that no event tells: depths, pending entries, the pool, the loop's own lag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from actors.repeating import Repeating
from actors.runtime import ChildView
from service.clock import BusinessClock
from service.domain.messages import Status
from service.outages import Outages
from service.ports import DeliveryQueue, Messages, Planning, PoolState, WorkStream
from service.telemetry.metrics import Metrics

SAMPLE_EVERY = 5.0
"""Seconds between two samples: less than a usual scrape interval."""


class Sampler(Repeating[object]):
    """Sets the gauges."""

    def __init__(
        self,
        messages: Messages,
        planning: Planning,
        streams: Mapping[str, WorkStream],
        queue: DeliveryQueue,
        *,
        pool: Callable[[], PoolState],
        tree: Callable[[], ChildView],
        clock: BusinessClock,
        outages: Outages,
        metrics: Metrics,
    ) -> None:
        super().__init__(outages)
        self._messages = messages
        self._planning = planning
        self._streams = streams
        self._queue = queue
        self._pool = pool
        self._tree = tree
        self._clock = clock
        self._metrics = metrics
        self._expected_at: float | None = None

    async def turn(self) -> float:
        metrics = self._metrics
        now = asyncio.get_running_loop().time()
        if self._expected_at is not None:
            metrics.loop_lag.set(max(0.0, now - self._expected_at))
        pool = self._pool()
        metrics.db_active.set(pool.active)
        metrics.db_idle.set(pool.idle)
        metrics.db_max.set(pool.max)
        for view in _actors(self._tree()):
            if view.depth is not None:
                metrics.actor_mailbox.labels(view.name).set(view.depth)
        for name, stream in self._streams.items():
            state = await stream.state()
            metrics.stream_length.labels(name).set(state.length)
            metrics.stream_pending.labels(name).set(sum(state.pending.values()))
        counts = await self._messages.open_by_status()
        for status in (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.RETRYING):
            metrics.by_status.labels(status).set(counts.get(status, 0))
        metrics.queue_depth.set(counts.get(Status.QUEUED, 0))
        metrics.oldest_due.set(await self._messages.oldest_due_age())
        planned = await self._planning.planned()
        metrics.planned_ahead.set((planned.complete - planned.now).total_seconds())
        metrics.dead_letters.set((await self._queue.depth()).dead)
        self._expected_at = asyncio.get_running_loop().time() + SAMPLE_EVERY
        return SAMPLE_EVERY


def _actors(view: ChildView) -> Iterator[ChildView]:
    yield view
    for child in view.children:
        yield from _actors(child)
