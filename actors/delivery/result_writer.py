"""Writes what became of every claim, many at once, and acknowledges the deliveries whose messages are all recorded."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

import structlog
from prometheus_client import Histogram

from actors.delivery.lines import say_what_became
from actors.facts import Fact, Witness
from actors.repeating import Backoff
from actors.runtime import Actor, Context
from service.domain.messages import Outcome, Status
from service.domain.retry import cause
from service.outages import Outages
from service.ports import AcceptedKeys, Claimed, Delivery, DeliveryQueue, Messages, Recorded, Result, Unavailable
from service.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

RECORD_EVERY = 0.005
"""Seconds to gather results before they are written: what the slowest of them waits, and it was sent already."""

MOST_RESULTS = 500
"""Results of one statement."""


@dataclass(slots=True)
class Parcel:
    """A delivery and how many of its messages are not done with; shared by its sender and the tasks that send them.
    `actor` is the sender, `trace_id` that of its trace, if it is traced."""

    delivery: Delivery
    left: int
    actor: str
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one claim."""

    claimed: Claimed
    result: Result
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Nothing of this delivery is ours to send."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Flush:
    """Write what was gathered."""


class Recorder(Actor[Record | Acknowledge | Flush]):
    """Gathers for a few milliseconds, remembers what was accepted, writes, then acknowledges: in this order.

    It goes on remembering while PostgreSQL is away: by the time that it is back, others may have taken this node's
    claims over, and must know which of them were accepted. No more is gathered than was claimed, so it has a bound.
    """

    def __init__(
        self,
        messages: Messages,
        accepted: AcceptedKeys,
        queue: DeliveryQueue,
        *,
        on_failed: Callable[[], None],
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
    ) -> None:
        self._messages = messages
        self._accepted = accepted
        self._queue = queue
        self._on_failed = on_failed
        self._outages = outages
        self._metrics = metrics
        self._witness = witness
        self._gathered: list[Record] = []
        self._unwritten: list[Record] = []
        self._writing: asyncio.Task[None] | None = None

    async def start(self, ctx: Context[Record | Acknowledge | Flush]) -> None:
        self._ctx = ctx

    async def receive(self, message: Record | Acknowledge | Flush) -> None:
        match message:
            case Record():
                self._gathered.append(message)
                if self._ctx.draining:
                    await self._write_out()
                elif len(self._gathered) >= MOST_RESULTS:
                    await self._pass_on()
                elif len(self._gathered) == 1:
                    self._ctx.after(RECORD_EVERY, Flush())
            case Flush():
                await self._pass_on()
            case Acknowledge(delivery):
                await self._acknowledge(delivery)
            case _:
                assert_never(message)

    async def drain(self) -> None:
        """Write what was gathered; from now on everything is written as it comes."""
        await self._write_out()

    async def _write_out(self) -> None:
        """Return when all that was gathered is written."""
        await self._pass_on()
        if self._writing is not None:
            await self._writing

    async def _pass_on(self) -> None:
        """Remember what was gathered, and have it written."""
        records, self._gathered = self._gathered, []
        if records:
            await self._remember([record.claimed for record in records if _was_accepted(record.result)])
            self._unwritten += records
            if self._writing is None or self._writing.done():
                self._writing = self._ctx.spawn(self._write(), name="write")

    async def _write(self) -> None:
        """Write what is unwritten, with what is added meanwhile."""
        while self._unwritten:
            records, self._unwritten = self._unwritten[:MOST_RESULTS], self._unwritten[MOST_RESULTS:]
            moved = await self._record([record.result for record in records])
            self._witness(Fact.RECORDED)
            self._count(records, moved)
            say_what_became(records, moved)
            for record in records:
                record.parcel.left -= 1
                if record.parcel.left == 0:
                    await self._acknowledge(record.parcel.delivery)

    async def _remember(self, accepted: list[Claimed]) -> None:
        if accepted:
            try:
                await self._accepted.remember([(one.claim.id, one.send_at.date()) for one in accepted])
            except Unavailable as error:
                # It only narrows the window between acceptance and record, and the record is next.
                log.debug("accepted_keys_not_remembered", reason=error.reason)
            self._witness(Fact.REMEMBERED)

    async def _record(self, results: list[Result]) -> list[Recorded]:
        """Write until it is written: these attempts were made, and the rows must know before anything else happens."""
        backoff = Backoff()
        while True:
            try:
                moved = await self._messages.record(results, at=asyncio.get_running_loop().time())
            except Unavailable as error:
                self._outages.met(self._ctx.name, error)
                await asyncio.sleep(backoff.failed())
            else:
                self._outages.passed(self._ctx.name)
                return moved

    async def _acknowledge(self, delivery: Delivery) -> None:
        try:
            await self._queue.acknowledge(delivery)
        except Unavailable as error:
            # It will be delivered again, and the rows will say that it is done.
            log.debug("delivery_not_acknowledged", reason=error.reason)
        self._witness(Fact.ACKNOWLEDGED)

    def _count(self, records: list[Record], moved: list[Recorded]) -> None:
        """Count a batch: by batch and not by message where possible, for this is done for every greeting."""
        metrics = self._metrics
        metrics.suppressed.labels("record").inc(len(records) - len(moved))
        durations: defaultdict[Outcome, list[float]] = defaultdict(list)
        # How late an earlier attempt began is not known here, and no call was made now.
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
                metrics.retried.labels(cause(answer), occasion).inc()
        for outcome, seconds in durations.items():
            _observe(metrics.delivery.labels(outcome), seconds)
        sent: Counter[str] = Counter()
        lateness: defaultdict[str, list[float]] = defaultdict(list)
        failed = False
        for one in moved:
            if one.status is Status.SENT:
                sent[one.occasion] += 1
                if one.id not in not_called:
                    lateness[one.occasion].append(one.lateness)
            elif one.status is Status.FAILED:
                failed = True
                metrics.failed.labels(one.occasion).inc()
        for occasion, count in sent.items():
            metrics.sent.labels(occasion).inc(count)
        for occasion, late in lateness.items():
            _observe(metrics.lateness.labels(occasion), late)
        if failed:
            self._on_failed()


def _observe(histogram: Histogram, values: list[float]) -> None:
    for value in values:
        histogram.observe(value)


def _was_accepted(result: Result) -> bool:
    return result.answer is not None and result.answer.outcome is Outcome.ACCEPTED
