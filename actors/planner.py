"""Announces how far ahead to plan, once for all nodes, and makes the messages of the ranges that it claims.

It announces from the instant where planning stopped, so no outage leaves a gap. The state decides: each planner looks
regularly how far planning is. The cron of the daily job, a start and a jump of the clock only make it look at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from actors.context import NodeContext
from actors.failpoints import Failpoint
from actors.periodic import FIRST_WAIT, reply_with
from actors.runtime import Reply
from actors.stream_consumer import StreamConsumer
from service.domain.planning import HORIZON, days_to_announce, horizon
from service.domain.zones import TZDATA_VERSION
from service.node.cron import CronSchedule
from service.ports import Emptied, Entry, Planning, Unavailable, WorkStream
from service.telemetry.job_runs import job_run
from service.telemetry.tracing import Span

log = structlog.get_logger(__name__)

REVIEW_INTERVAL = 60.0
"""Seconds between two checks of planning, beside those that a trigger causes."""

PLANNED_AHEAD_AT_LEAST: timedelta = HORIZON / 2
"""Planning is behind if it reaches less far. A daily run leaves at least this much until the next one."""

RANGE_ID_DIGITS_MAX = 18
"""Digits of a range's id at most, so that it fits PostgreSQL's bigint."""


@dataclass(frozen=True, slots=True)
class RunDaily:
    """Do the daily job now. Answers with the number of ranges that were announced."""

    reply: Reply[dict[str, int]]


@dataclass(frozen=True, slots=True)
class PlanAgain:
    """Announce up to the horizon now: the clock has jumped, or ranges were lost."""


class Planner(StreamConsumer[RunDaily | PlanAgain]):
    """Announces ranges of instants, and plans the ranges of `heyday:plan`."""

    def __init__(
        self,
        node: NodeContext,
        planning: Planning,
        plan: WorkStream,
        *,
        cron: str,
        on_emptied: Callable[[Emptied], None],
    ) -> None:
        super().__init__(node, plan, at_once=1, on_emptied=on_emptied)
        self._planning = planning
        self._cron = CronSchedule(cron)
        self._cron_instant: datetime | None = None
        """The cron's latest instant whose run is not done. An outage at midnight must not skip it."""
        self._again = True
        self._next_review = 0.0

    async def run_leased(self) -> float:
        try:
            return await self._plan_ahead()
        except Unavailable:
            # Else the stream would be asked first, and `Outages` would take its outage for an answer of PostgreSQL.
            self._next_review = 0.0
            raise

    async def _plan_ahead(self) -> float:
        now = self.node.clock.now()
        if now is not None:
            self._cron_instant = self._cron.due(now) or self._cron_instant
        if self._again or self._cron_instant is not None or await self._is_behind():
            if not (await self._planning.rules()).written:
                self._again = True  # the rules updater of the first node writes them soon
                return FIRST_WAIT
            await self._announce(self._cron_instant)
            self._again, self._cron_instant = False, None
        return await super().run_leased()

    async def on_message(self, message: RunDaily | PlanAgain) -> None:
        match message:
            case PlanAgain():
                self._again = True
            case RunDaily(reply):
                await reply_with(reply, self._run_daily())
        self.wake()

    async def _run_daily(self) -> dict[str, int]:
        _ = self.node.lease.incarnation  # without a lease nothing is announced
        if not (await self._planning.rules()).written:
            raise Unavailable("postgres", "no node has written the planning rules yet")
        return {"ranges": await self._announce(None)}

    async def _is_behind(self) -> bool:
        """Look, when the next review is due, whether planning reaches far enough."""
        steady = self.node.clock.steady()
        if steady < self._next_review:
            return False
        planned = await self._planning.planned()
        self._next_review = steady + REVIEW_INTERVAL
        return planned.announced - planned.now < PLANNED_AHEAD_AT_LEAST

    async def work_on(self, entries: list[Entry]) -> None:
        for entry in entries:
            body = entry.body
            if body.isascii() and body.isdecimal() and len(body) <= RANGE_ID_DIGITS_MAX:
                with self.node.tracing.plan(announced_by=entry.traceparent) as span:
                    await self._plan(int(body), span)
            else:
                # Only heyday writes here. Recovery hands out again each range that is not planned.
                log.error("stream_entry_malformed", stream=self._stream.name, entry=entry.id, body=body[:80])
            await self._stream.finish([entry])
            self.node.failpoint(Failpoint.PLAN_FINISHED)

    async def _announce(self, scheduled_at: datetime | None) -> int:
        """Announce the ranges up to the horizon that are not announced yet; return their number.

        `scheduled_at` is the cron's instant, of which one node makes the run.
        """
        with job_run(self.node.metrics, "daily") as run:
            planned = await self._planning.planned()
            up_to = horizon(planned.now)
            if planned.announced >= up_to and scheduled_at is None:
                run.outcome = "nothing_to_do"
                return 0
            with self.node.tracing.announce() as span:
                rules = await self._planning.rules()
                ranges = await self._planning.announce(
                    "daily",
                    scheduled_at or planned.now,
                    incarnation=self.node.lease.incarnation,
                    up_to=up_to,
                    days=days_to_announce(rules, planned.announced, up_to),
                )
                if ranges is None:
                    run.outcome = "done_by_another"
                if not ranges:
                    return 0
                self.node.failpoint(Failpoint.PLAN_ANNOUNCED)
                log.info(
                    "planning_announced",
                    up_to=up_to.isoformat(),
                    since=planned.announced.isoformat(),
                    ranges=len(ranges),
                )
                span.carried(len(ranges))
                await self._stream.append([str(range_id) for range_id in ranges], traceparent=span.traceparent)
                self.node.failpoint(Failpoint.PLAN_APPENDED)
                return len(ranges)

    async def _plan(self, range_id: int, span: Span) -> None:
        """Make, or move, the messages of one range, unless another node has."""
        made = await self._planning.plan(range_id, await self._planning.rules(), tzdata=TZDATA_VERSION)
        self.node.failpoint(Failpoint.PLANNED)
        if made is None:
            self.node.metrics.suppressed.labels("range").inc()
            return
        self.node.metrics.planned.inc(made)
        span.made(made)
        if made:
            log.info("range_planned", range=range_id, messages=made)
