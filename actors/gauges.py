"""Reads figures that no event reports: depths, pending entries, the pool, the lag of the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Never

from prometheus_client import Gauge

from actors.context import NodeContext
from actors.periodic import PeriodicActor, Tick
from actors.runtime import ChildView, Context
from service.domain.messages import Status
from service.ports import DeliveryQueue, Messages, Planning, PoolState, Unavailable, WorkStream
from service.ports.names import REDIS_QUEUE
from service.telemetry.loop_lag import LoopLag
from service.telemetry.metrics import WAITING

NAN = float("nan")

SAMPLE_INTERVAL = 5.0
"""Seconds between two samples: less than a usual scrape interval."""

SHARE_OF_TIME = 1 / 20
"""Share of the time that samples take at most. While a session holds a snapshot, counts read past every message that
left since."""

LONGEST_INTERVAL = 30.0
"""Seconds between two samples at most."""


class Gauges(PeriodicActor[Never]):
    """Sets the gauges of this node, and those of the whole deployment while `samples_for_all()` is true.

    A gauge that was not read lately becomes NaN, because its last value may be untrue by now: while a server is away,
    and on every node but the one that samples for all. Alerts take the highest value of all nodes, which ignores NaN.
    """

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        planning: Planning,
        streams: Mapping[str, WorkStream],
        queue: DeliveryQueue,
        *,
        pool: Callable[[], PoolState],
        tree: Callable[[], ChildView],
        samples_for_all: Callable[[], bool],
    ) -> None:
        super().__init__(node)
        self._messages = messages
        self._planning = planning
        self._streams = streams
        self._queue = queue
        self._pool = pool
        self._tree = tree
        self._samples_for_all = samples_for_all
        self._metrics = node.metrics
        self._lag = LoopLag()

    async def start(self, ctx: Context[Tick]) -> None:
        self._lag.start()
        # Read at the scrape: while the database hangs, the periodic reading hangs, too.
        metrics = self._metrics
        metrics.loop_lag.set_function(self._lag.worst)
        metrics.db_active.set_function(lambda: self._pool().active)
        metrics.db_idle.set_function(lambda: self._pool().idle)
        metrics.db_max.set_function(lambda: self._pool().max)
        metrics.db_waiting.set_function(lambda: self._pool().waiting)
        await super().start(ctx)

    async def stop(self) -> None:
        self._lag.stop()

    async def run_once(self) -> float:
        steady = self.node.clock.steady
        began_at = steady()
        self._sample_node()
        away: Unavailable | None = None
        samples: tuple[tuple[Callable[[], Awaitable[None]], Callable[[], Iterable[Gauge]]], ...] = (
            (self._sample_messages, self._of_messages),
            (self._sample_streams, self._of_streams),
            (self._sample_queue, self._of_queue),
        )
        for sample, gauges in samples:
            try:
                if self._samples_for_all():
                    await sample()
                    continue
            except Unavailable as error:
                away = error
            for gauge in gauges():
                gauge.set(NAN)
        if away is not None:
            raise away
        await self._begin_series()
        return min(LONGEST_INTERVAL, max(SAMPLE_INTERVAL, (steady() - began_at) / SHARE_OF_TIME))

    async def _begin_series(self) -> None:
        """Create the series of each occasion. Otherwise a rate misses its first failure."""
        self._metrics.initialize_series(occasions=sorted((await self._planning.rules()).codes))

    def _sample_node(self) -> None:
        metrics = self._metrics
        for view in _actors(self._tree()):
            if view.depth is not None:
                metrics.actor_mailbox.labels(view.name).set(view.depth)
            # Without the series, the first crash would not show in a rate.
            metrics.actor_restarts.labels(view.name)
            metrics.task_failures.labels(view.name)

    async def _sample_messages(self) -> None:
        metrics = self._metrics
        counts = await self._messages.open_by_status()
        for status in WAITING:
            metrics.by_status.labels(status).set(counts.get(status, 0))
        metrics.queue_depth.set(counts.get(Status.QUEUED, 0))
        metrics.oldest_due.set(await self._messages.oldest_due_age())
        wave = await self._messages.next_wave()
        metrics.next_wave.set(NAN if wave is None else wave.seconds)
        metrics.next_wave_messages.set(0 if wave is None else wave.messages)
        metrics.db_oldest_snapshot.set(await self._messages.oldest_snapshot_age())
        planned = await self._planning.planned()
        metrics.planned_ahead.set((planned.complete - planned.now).total_seconds())

    def _of_messages(self) -> Iterable[Gauge]:
        metrics = self._metrics
        by_status = (metrics.by_status.labels(status) for status in WAITING)
        return (
            *by_status,
            metrics.queue_depth,
            metrics.oldest_due,
            metrics.next_wave,
            metrics.next_wave_messages,
            metrics.db_oldest_snapshot,
            metrics.planned_ahead,
        )

    async def _sample_streams(self) -> None:
        metrics = self._metrics
        states = {name: await stream.state() for name, stream in self._streams.items()}
        metrics.stream_consumer_pending.clear()  # of ended nodes
        for name, state in states.items():
            metrics.stream_length.labels(name).set(state.length)
            metrics.stream_pending.labels(name).set(sum(state.pending.values()))
            metrics.stream_oldest_pending.labels(name).set(state.oldest_pending)
            for consumer, pending in state.pending.items():
                metrics.stream_consumer_pending.labels(name, consumer).set(pending)

    def _of_streams(self) -> Iterable[Gauge]:
        metrics = self._metrics
        metrics.stream_consumer_pending.clear()
        per_stream = (metrics.stream_length, metrics.stream_pending, metrics.stream_oldest_pending)
        return [gauge.labels(name) for gauge in per_stream for name in self._streams]

    async def _sample_queue(self) -> None:
        depth = await self._queue.depth()
        self._metrics.queue_ready.set(depth.ready)
        self._metrics.dead_letters.set(depth.dead)
        # If the delivery queue is a Redis stream, its entries are pending, too. They wait for the rate of the email
        # service, so their age means nothing.
        for consumer, taken in depth.taken_by.items():
            self._metrics.stream_consumer_pending.labels(REDIS_QUEUE.delivery, consumer).set(taken)

    def _of_queue(self) -> Iterable[Gauge]:
        return self._metrics.queue_ready, self._metrics.dead_letters


def _actors(view: ChildView) -> Iterator[ChildView]:
    yield view
    for child in view.children:
        yield from _actors(child)
