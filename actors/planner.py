"""Plans: announces how far, once for all nodes, and makes the messages of the ranges that it claims.

The daily job announces up to two days ahead: by cron, at start, and after every jump of the clock. Whatever the
outage was, it announces from where planning stopped, so nothing in between is missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from functools import partial

import structlog

from actors.facts import Fact, Witness
from actors.lease import Lease, LeaseLost
from actors.repeating import FIRST_WAIT, Repeating
from actors.runtime import Reply
from service.cadence import Cadence
from service.clock import BusinessClock
from service.domain.calendar import LeapDay
from service.domain.zones import TZDATA_VERSION
from service.outages import Outages
from service.planning import Rules, days, horizon, instants
from service.ports import Emptied, Entry, Planning, Unavailable, WorkStream
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Span, Tracing

log = structlog.get_logger(__name__)

BLOCK_FOR = 1.0
"""Seconds to wait for a range to plan."""

MOST_DIGITS = 18
"""Digits that every number of a range fits into: PostgreSQL's bigint has up to 19."""


@dataclass(frozen=True, slots=True)
class RunDaily:
    """Do the daily job now. Answers how many ranges were announced."""

    reply: Reply[dict[str, int]]


@dataclass(frozen=True, slots=True)
class PlanAgain:
    """The clock has jumped, or ranges were lost: look whether planning is behind."""


class Planner(Repeating[RunDaily | PlanAgain]):
    """Announces and plans."""

    def __init__(
        self,
        planning: Planning,
        plan: WorkStream,
        *,
        send_at: time_of_day,
        leap_day: LeapDay,
        cron: str,
        lease: Lease,
        clock: BusinessClock,
        on_emptied: Callable[[Emptied], None],
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
        tracing: Tracing = OFF,
    ) -> None:
        super().__init__(outages)
        self._planning = planning
        self._plan = plan
        self._send_at = send_at
        self._leap_day = leap_day
        self._cadence = Cadence(cron)
        self._lease = lease
        self._clock = clock
        self._on_emptied = on_emptied
        self._metrics = metrics
        self._witness = witness
        self._tracing = tracing
        self._behind = True
        self._looked_behind = False

    async def turn(self) -> float:
        if not await self._lease.granted(within=BLOCK_FOR):
            return FIRST_WAIT
        now = self._clock.now()
        cron_instant = self._cadence.due(now) if now is not None else None
        if self._behind or cron_instant is not None:
            await self._announce(cron_instant)
            self._behind = False
        try:
            if not self._looked_behind:
                while entries := await self._plan.unfinished(count=1):
                    await self._work_on(entries[0])
                self._looked_behind = True
            for entry in await self._plan.read(count=1, block=BLOCK_FOR):
                await self._work_on(entry)
        except Emptied as emptied:
            self._on_emptied(emptied)
        except Unavailable:
            self._looked_behind = False
            raise
        return 0.0

    async def heard(self, message: RunDaily | PlanAgain) -> None:
        match message:
            case PlanAgain():
                self._behind = True
            case RunDaily(reply):
                try:
                    reply.set({"ranges": await self._announce(None)})
                except Unavailable as error:
                    reply.fail(error)
                except LeaseLost:
                    reply.fail(Unavailable("postgres", "this node has not been heard there for a while"))
        self.wake()

    async def _work_on(self, entry: Entry) -> None:
        if entry.body.isascii() and entry.body.isdecimal() and len(entry.body) <= MOST_DIGITS:
            with self._tracing.plan(announced_by=entry.traceparent) as span:
                await self._make(int(entry.body), span)
        else:
            # Nobody but heyday writes here. What is not planned is found again without it.
            log.error("stream_entry_malformed", stream=self._plan.name, entry=entry.id, body=entry.body[:80])
        await self._plan.finish([entry])
        self._witness(Fact.PLAN_FINISHED)

    async def _announce(self, scheduled_at: datetime | None) -> int:
        """Announce what is not announced yet; how many ranges that made."""
        began = time.perf_counter()
        outcome = "failed"
        try:
            planned = await self._planning.planned()
            up_to = horizon(planned.now)
            self._metrics.planned_ahead.set((planned.complete - planned.now).total_seconds())
            if planned.announced >= up_to and scheduled_at is None:
                outcome = "nothing_to_do"
                return 0
            with self._tracing.announce() as span:
                rules = await self._rules()
                ranges = await self._planning.announce(
                    "daily",
                    scheduled_at or planned.now,
                    incarnation=self._lease.incarnation,
                    up_to=up_to,
                    days=days(rules, planned.announced, up_to),
                )
                outcome = "done_by_another" if ranges is None else "done"
                if not ranges:
                    return 0
                self._witness(Fact.PLAN_ANNOUNCED)
                log.info(
                    "planning_announced",
                    up_to=up_to.isoformat(),
                    since=planned.announced.isoformat(),
                    ranges=len(ranges),
                )
                span.carried(len(ranges))
                await self._plan.append([str(range_id) for range_id in ranges], traceparent=span.traceparent)
                self._witness(Fact.PLAN_APPENDED)
                return len(ranges)
        finally:
            if outcome != "failed":
                self._metrics.job_success.labels("daily").set_to_current_time()
            self._metrics.job_runs.labels("daily", outcome).inc()
            self._metrics.job_duration.labels("daily").observe(time.perf_counter() - began)

    async def _make(self, range_id: int, span: Span) -> None:
        """Make the messages of one range, if nobody has."""
        made = await self._planning.plan(range_id, partial(instants, await self._rules()), tzdata=TZDATA_VERSION)
        self._witness(Fact.PLANNED)
        if made is None:
            self._metrics.suppressed.labels("range").inc()
            return
        self._metrics.planned.inc(made)
        span.made(made)
        if made:
            log.info("range_planned", range=range_id, messages=made)

    async def _rules(self) -> Rules:
        return Rules(self._send_at, self._leap_day, tuple(await self._planning.occasions()))
