"""Carries due ids from the stream `heyday:due` to the delivery queue. It finishes an entry after the confirm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

import structlog

from actors.context import NodeContext
from actors.failpoints import Failpoint
from actors.stream_consumer import StreamConsumer
from service.domain.bundles import Malformed, decode
from service.ports import DeliveryQueue, Emptied, Entry, Unavailable, WorkStream

log = structlog.get_logger(__name__)

ENTRIES_AT_ONCE = 4
"""Entries of one pass, of up to 400 ids each: enough confirms in flight to keep the broker busy."""

IDS_PER_BUNDLE = 200
"""Ids of one message in the delivery queue, at most. A bundle is made from what is due; one id is a bundle, too."""


class Dispatcher(StreamConsumer[Never]):
    """Reads, publishes, finishes. An entry that could not be published stays pending and is read again first."""

    def __init__(
        self, node: NodeContext, due: WorkStream, queue: DeliveryQueue, *, on_emptied: Callable[[Emptied], None]
    ) -> None:
        super().__init__(node, due, at_once=ENTRIES_AT_ONCE, on_emptied=on_emptied)
        self._queue = queue

    async def work_on(self, entries: list[Entry]) -> None:
        metrics = self.node.metrics
        bundles = []
        for entry in entries:
            try:
                ids = decode(entry.body)
            except Malformed as error:
                # Only heyday writes here. Recovery takes back each row that stays queued for too long.
                log.error("stream_entry_malformed", stream=self._stream.name, entry=entry.id, error=str(error))  # noqa: TRY400 - the text says it all
                continue
            bundles += [ids[i : i + IDS_PER_BUNDLE] for i in range(0, len(ids), IDS_PER_BUNDLE)]
        count = sum(map(len, bundles))
        with self.node.tracing.publish(claimed_by=[entry.traceparent for entry in entries]) as span:
            span.carried(len(bundles), messages=count)
            try:
                await self._queue.publish(bundles, traceparent=span.traceparent)
            except Unavailable:
                metrics.queue_failed.inc(count)
                raise
        self.node.failpoint(Failpoint.PUBLISHED)
        metrics.queue_enqueued.inc(count)
        await self._stream.finish(entries)
        self.node.failpoint(Failpoint.DUE_FINISHED)
