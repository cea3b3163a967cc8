"""Reads, every few seconds, the figures that no event tells: depths, pending entries, the pool, the loop's own lag."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from prometheus_client import Gauge

from actors.repeating import Repeating, Turn
from actors.runtime import ChildView, Context
from service.domain.messages import Status
from service.outages import Outages
from service.ports import DeliveryQueue, Messages, Planning, PoolState, Unavailable, WorkStream
from service.telemetry.loop_lag import LoopLag
from service.telemetry.metrics import WAITING, Metrics

NAN = float("nan")

SAMPLE_EVERY = 5.0
"""Seconds between two samples: less than a usual scrape interval."""

DELIVERY = "heyday:delivery"
"""What the delivery queue is called where it is a stream."""


class Sampler(Repeating[object]):
    """Sets the gauges. Those of a server that is away are NaN: what was last read there may be untrue by now. Alerts
    take the highest of all nodes."""

    def __init__(
        self,
        messages: Messages,
        planning: Planning,
        streams: Mapping[str, WorkStream],
        queue: DeliveryQueue,
        *,
        pool: Callable[[], PoolState],
        tree: Callable[[], ChildView],
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
        self._metrics = metrics
        self._lag = LoopLag()

    async def start(self, ctx: Context[object | Turn]) -> None:
        self._lag.start()
        # Read when they are scraped: while the database hangs, so does everybody who looks at it, the sampler included.
        metrics = self._metrics
        metrics.db_active.set_function(lambda: self._pool().active)
        metrics.db_idle.set_function(lambda: self._pool().idle)
        metrics.db_max.set_function(lambda: self._pool().max)
        metrics.db_waiting.set_function(lambda: self._pool().waiting)
        await super().start(ctx)

    async def stop(self) -> None:
        self._lag.stop()

    async def turn(self) -> float:
        self._look_at_ourselves()
        away: Unavailable | None = None
        looks: tuple[tuple[Callable[[], Awaitable[None]], Callable[[], Iterable[Gauge]]], ...] = (
            (self._look_at_messages, self._of_messages),
            (self._look_at_streams, self._of_streams),
            (self._look_at_queue, self._of_queue),
        )
        for look, gauges in looks:
            try:
                await look()
            except Unavailable as error:
                away = error
                for gauge in gauges():
                    gauge.set(NAN)
        if away is not None:
            raise away
        return SAMPLE_EVERY

    def _look_at_ourselves(self) -> None:
        metrics = self._metrics
        metrics.loop_lag.set(self._lag.worst())
        for view in _actors(self._tree()):
            if view.depth is not None:
                metrics.actor_mailbox.labels(view.name).set(view.depth)
            # A series that appears with the first crash misses it in a rate.
            metrics.actor_restarts.labels(view.name)
            metrics.task_failures.labels(view.name)

    async def _look_at_messages(self) -> None:
        metrics = self._metrics
        metrics.know(occasions=[occasion.code for occasion in await self._planning.occasions()])
        counts = await self._messages.open_by_status()
        for status in WAITING:
            metrics.by_status.labels(status).set(counts.get(status, 0))
        metrics.queue_depth.set(counts.get(Status.QUEUED, 0))
        metrics.oldest_due.set(await self._messages.oldest_due_age())
        planned = await self._planning.planned()
        metrics.planned_ahead.set((planned.complete - planned.now).total_seconds())

    def _of_messages(self) -> Iterable[Gauge]:
        metrics = self._metrics
        by_status = (metrics.by_status.labels(status) for status in WAITING)
        return (*by_status, metrics.queue_depth, metrics.oldest_due, metrics.planned_ahead)

    async def _look_at_streams(self) -> None:
        metrics = self._metrics
        states = {name: await stream.state() for name, stream in self._streams.items()}
        metrics.stream_consumer_pending.clear()  # of nodes that have gone
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

    async def _look_at_queue(self) -> None:
        depth = await self._queue.depth()
        self._metrics.queue_ready.set(depth.ready)
        self._metrics.dead_letters.set(depth.dead)
        # Where the delivery queue is a stream of Redis its entries are pending like others. How long says nothing: they
        # wait for their turns under the rate of the email service.
        for consumer, taken in depth.taken_by.items():
            self._metrics.stream_consumer_pending.labels(DELIVERY, consumer).set(taken)

    def _of_queue(self) -> Iterable[Gauge]:
        return self._metrics.queue_ready, self._metrics.dead_letters


def _actors(view: ChildView) -> Iterator[ChildView]:
    yield view
    for child in view.children:
        yield from _actors(child)
