"""Carries what is due from the stream `heyday:due` to the delivery queue: confirmed there, then finished here."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from actors.facts import Fact, Witness
from actors.lease import Lease
from actors.repeating import FIRST_WAIT, Repeating
from service.domain.bundles import Malformed, decode
from service.outages import Outages
from service.ports import DeliveryQueue, Emptied, Entry, Unavailable, WorkStream
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing

log = structlog.get_logger(__name__)

ENTRIES_AT_ONCE = 4
"""Entries of one turn, of up to 500 ids each: enough confirms in flight to keep the broker busy."""

IDS_PER_BUNDLE = 50
"""Ids of one message in the delivery queue. Formed from what is due, never waited for: one id is a bundle too."""

BLOCK_FOR = 1.0
"""Seconds to wait for an entry; a drain waits no longer."""


class Dispatcher(Repeating[object]):
    """Reads, publishes, finishes; what it could not publish stays with it and is tried again first."""

    def __init__(
        self,
        due: WorkStream,
        queue: DeliveryQueue,
        *,
        lease: Lease,
        on_emptied: Callable[[Emptied], None],
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
        tracing: Tracing = OFF,
    ) -> None:
        super().__init__(outages)
        self._due = due
        self._queue = queue
        self._lease = lease
        self._on_emptied = on_emptied
        self._metrics = metrics
        self._witness = witness
        self._tracing = tracing
        self._looked_behind = False

    async def turn(self) -> float:
        if not await self._lease.granted(within=BLOCK_FOR):
            return FIRST_WAIT
        try:
            if not self._looked_behind:
                # What this node had read and not finished, before a restart or an outage.
                while entries := await self._due.unfinished(count=ENTRIES_AT_ONCE):
                    await self._carry(entries)
                self._looked_behind = True
            await self._carry(await self._due.read(count=ENTRIES_AT_ONCE, block=BLOCK_FOR))
        except Emptied as emptied:
            self._on_emptied(emptied)
        except Unavailable:
            self._looked_behind = False
            raise
        return 0.0

    async def _carry(self, entries: list[Entry]) -> None:
        if not entries:
            return
        bundles = []
        for entry in entries:
            try:
                ids = decode(entry.body)
            except Malformed as error:
                # Nobody but heyday writes here. The rows do not need it: they are found again without it.
                log.error("stream_entry_malformed", stream=self._due.name, entry=entry.id, error=str(error))  # noqa: TRY400 - the text says it all
                continue
            bundles += [ids[i : i + IDS_PER_BUNDLE] for i in range(0, len(ids), IDS_PER_BUNDLE)]
        count = sum(map(len, bundles))
        with self._tracing.publish(claimed_by=[entry.traceparent for entry in entries]) as span:
            span.carried(len(bundles), messages=count)
            try:
                await self._queue.publish(bundles, traceparent=span.traceparent)
            except Unavailable:
                self._metrics.queue_failed.inc(count)
                raise
        self._witness(Fact.PUBLISHED)
        self._metrics.queue_enqueued.inc(count)
        await self._due.finish(entries)
        self._witness(Fact.DUE_FINISHED)
