"""Writes the results of claims in batches, and acknowledges deliveries whose messages are all recorded."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

import structlog
from prometheus_client import Histogram

from actors.context import NodeContext
from actors.failpoints import Failpoint
from actors.periodic import OutageBackoff
from actors.runtime import Actor, Context
from service.domain.messages import EmailServiceName, Outcome, Status
from service.domain.retry import retry_reason
from service.ports import AcceptedKeys, Claimed, Delivery, DeliveryQueue, Messages, Recorded, Result, Unavailable
from service.telemetry.greeting_log import Attempted, log_attempts
from service.telemetry.metrics import CIRCUITS

log = structlog.get_logger(__name__)

RECORD_EVERY = 0.005
"""Seconds to gather results before a write. It is the longest extra wait of a result."""

MOST_RESULTS = 500
"""Results of one statement."""


@dataclass(slots=True)
class InFlightDelivery:
    """A delivery, and the number of its messages that are not done.

    Its sender and the tasks that send its messages share it. `actor` is the sender. `trace_id` is that of its trace, if
    it is traced.
    """

    delivery: Delivery
    left: int
    actor: str
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one claim."""

    claimed: Claimed
    result: Result
    in_flight: InFlightDelivery


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Acknowledge a delivery of which this node sends no message."""

    delivery: Delivery


@dataclass(slots=True)
class UnwrittenResults:
    """The results of a node that are not in PostgreSQL yet. They survive a crash of the actor that writes them.

    `gathered`: results as they came. `remembered`: the next step is done, their acceptances are in Redis (dedupe keys).
    """

    gathered: list[Record] = field(default_factory=list)
    remembered: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Flush:
    """Write the gathered results."""


class ResultWriter(Actor[Record | Acknowledge | Flush]):
    """Gathers results for some milliseconds, remembers the acceptances, writes, then acknowledges, in this order.

    It also remembers acceptances while PostgreSQL is down. When PostgreSQL is back, other nodes may have taken over
    this node's claims, and must know which of them were accepted. It gathers no more than was claimed, so it is
    bounded.
    """

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        accepted: AcceptedKeys,
        queue: DeliveryQueue,
        *,
        unwritten: UnwrittenResults,
        on_failed: Callable[[], None],
    ) -> None:
        self._messages = messages
        self._accepted = accepted
        self._queue = queue
        self._on_failed = on_failed
        self._outages = node.outages
        self._metrics = node.metrics
        self._failpoint = node.failpoint
        self._unwritten = unwritten
        self._writing: asyncio.Task[None] | None = None

    async def start(self, ctx: Context[Record | Acknowledge | Flush]) -> None:
        self._ctx = ctx
        if self._unwritten.gathered or self._unwritten.remembered:
            # The last instance crashed while it wrote them, perhaps for another reason.
            ctx.after(RECORD_EVERY, Flush())

    async def receive(self, message: Record | Acknowledge | Flush) -> None:
        match message:
            case Record():
                self._unwritten.gathered.append(message)
                if self._ctx.draining:
                    await self._write_out()
                elif len(self._unwritten.gathered) >= MOST_RESULTS:
                    await self._pass_on()
                elif len(self._unwritten.gathered) == 1:
                    self._ctx.after(RECORD_EVERY, Flush())
            case Flush():
                await self._pass_on()
            case Acknowledge(delivery):
                self._acknowledge(delivery)
            case _:
                assert_never(message)

    async def drain(self) -> None:
        """Write the gathered results. From now on every result is written at once."""
        await self._write_out()

    async def _write_out(self) -> None:
        """Return when all gathered results are written."""
        await self._pass_on()
        if self._writing is not None:
            await self._writing

    async def _pass_on(self) -> None:
        """Remember the gathered acceptances, and have the results written."""
        unwritten = self._unwritten
        if records := unwritten.gathered:
            await self._remember([record.claimed for record in records if _was_accepted(record.result)])
            unwritten.gathered = []
            unwritten.remembered += records
        if unwritten.remembered and (self._writing is None or self._writing.done()):
            self._writing = self._ctx.spawn(self._write(), name="write")

    async def _write(self) -> None:
        """Write the unwritten results, with those that are added meanwhile."""
        while records := self._unwritten.remembered[:MOST_RESULTS]:
            moved = await self._record([record.result for record in records])
            del self._unwritten.remembered[: len(records)]
            self._failpoint(Failpoint.RECORDED)
            self._count(records, moved)
            attempted = (
                Attempted(one.claimed, one.result, one.in_flight.actor, one.in_flight.trace_id) for one in records
            )
            log_attempts(attempted, moved)
            for record in records:
                record.in_flight.left -= 1
                if record.in_flight.left == 0:
                    self._acknowledge(record.in_flight.delivery)

    async def _remember(self, accepted: list[Claimed]) -> None:
        if accepted:
            try:
                await self._accepted.remember([one.claim.id for one in accepted])
            except Unavailable as error:
                # The keys only narrow the window between acceptance and record, and the record follows now.
                log.debug("accepted_keys_not_remembered", reason=error.reason)
            self._failpoint(Failpoint.REMEMBERED)

    async def _record(self, results: list[Result]) -> list[Recorded]:
        """Repeat the write until it succeeds: the rows must have these attempts before anything else happens."""
        backoff = OutageBackoff()
        while True:
            try:
                moved = await self._messages.record(results, at=asyncio.get_running_loop().time())
            except Unavailable as error:
                self._outages.met(self._ctx.name, error)
                await asyncio.sleep(backoff.failed())
            else:
                self._outages.passed(self._ctx.name)
                return moved

    def _acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge beside the writing: what was accepted must not wait until a queue that hangs is given up."""

        async def acknowledge() -> None:
            await self._queue.acknowledge(delivery)
            self._failpoint(Failpoint.ACKNOWLEDGED)

        self._ctx.spawn(acknowledge(), name="acknowledge")

    def _count(self, records: list[Record], moved: list[Recorded]) -> None:
        """Count a batch at once where possible, because this code runs for every greeting."""
        metrics = self._metrics
        metrics.suppressed.labels("record").inc(len(records) - len(moved))
        durations: defaultdict[Outcome, list[float]] = defaultdict(list)
        # No call was made now, and the start of the earlier attempt is not known here.
        not_called: set[UUID] = set()
        for record in records:
            answer, occasion = record.result.answer, record.claimed.occasion
            if answer is not None:
                if answer.called:
                    durations[answer.outcome].append(answer.duration)
                else:
                    not_called.add(record.claimed.claim.id)
                if answer.outcome is Outcome.UNKNOWN:
                    metrics.unknown.labels(occasion).inc()
            if record.result.status is Status.RETRYING:
                metrics.retried.labels(retry_reason(answer), occasion).inc()
        for outcome, seconds in durations.items():
            _observe(metrics.delivery.labels(outcome), seconds)
        sent: Counter[str] = Counter()
        taken: Counter[EmailServiceName] = Counter()
        service_of = {record.claimed.claim.id: record.claimed.claim.service for record in records}
        lateness: defaultdict[str, list[float]] = defaultdict(list)
        failed = False
        for one in moved:
            if one.status is Status.SENT:
                sent[one.occasion] += 1
                taken[service_of[one.id]] += 1
                if one.id not in not_called:
                    lateness[one.occasion].append(one.lateness)
            elif one.status is Status.FAILED:
                failed = True
                metrics.failed.labels(one.occasion).inc()
        for occasion, count in sent.items():
            metrics.sent.labels(occasion).inc(count)
        for service, count in taken.items():
            metrics.sent_by_service.labels(CIRCUITS[service]).inc(count)
        for occasion, late in lateness.items():
            _observe(metrics.lateness.labels(occasion), late)
        if failed:
            self._on_failed()


def _observe(histogram: Histogram, values: list[float]) -> None:
    for value in values:
        histogram.observe(value)


def _was_accepted(result: Result) -> bool:
    return result.answer is not None and result.answer.outcome is Outcome.ACCEPTED
