"""Wakes at the next due instant, claims what is due and hands it out through the stream `heyday:due`.

One node's ticker works at a time, by a lock in Redis with a fencing number; the rows decide if two do. It hands out
no more than about half a minute of work (service.domain.pressure). Every ticker reads the database's clock, and so
notices when it jumps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from actors.facts import Fact, Witness
from actors.lease import Lease, LeaseLost
from actors.lines import say_what_moved
from actors.repeating import Repeating
from actors.runtime import Reply
from service.cadence import Cadence
from service.clock import BusinessClock, Jump
from service.domain.bundles import encode
from service.domain.pressure import MOST, Pressure
from service.outages import Outages
from service.ports import CircuitState, EmailService, Locks, Messages, Replaced, Unavailable, WorkStream
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Span, Tracing

log = structlog.get_logger(__name__)

LOCK = "ticker"

LOCK_FOR = 3.0
"""Seconds until another ticker takes over from one that has died; renewed at every turn."""

LONGEST_SLEEP = 1.0
"""Seconds between two looks at the clock: a jump is noticed, and an edit that makes something due is seen."""

FIRST_CLAIM = 50
"""Messages of the first claim of a wave, one bundle, so that the first greeting leaves soon. Each later claim is twice
as large as the one before, until nothing is due."""

LARGEST_CLAIM = 4_000
"""Messages of one claim: a statement of a fraction of a second."""

IDS_PER_ENTRY = 500
"""Ids of one stream entry."""

NO_ROOM_WAIT = 0.1
"""Seconds at least until the next look at what is on its way when there is no room for more; a tenth of the time that
it takes to be done, if that is longer."""


@dataclass(frozen=True, slots=True)
class RunMinute:
    """Do the minute job now: hand out everything that is due. Answers how many were handed out, and expired."""

    reply: Reply[dict[str, int]]


class Ticker(Repeating[RunMinute]):
    """The one that says when."""

    def __init__(
        self,
        messages: Messages,
        due: WorkStream,
        locks: Locks,
        email: EmailService,
        *,
        lease: Lease,
        clock: BusinessClock,
        cron: str,
        late_limit: timedelta,
        email_rate: float | None,
        on_jump: Callable[[Jump], None],
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
        tracing: Tracing = OFF,
    ) -> None:
        super().__init__(outages)
        self._messages = messages
        self._due = due
        self._locks = locks
        self._email = email
        self._lease = lease
        self._clock = clock
        self._cadence = Cadence(cron)
        self._late_limit = late_limit
        self._on_jump = on_jump
        self._metrics = metrics
        self._witness = witness
        self._tracing = tracing
        self._fence: int | None = None
        self._highest_fence = 0
        self._pressure = Pressure(at_most=email_rate)
        self._size = FIRST_CLAIM

    async def turn(self) -> float:
        await self._look_at_the_clock()
        now = self._clock.now()
        if now is not None and self._cadence.due(now) and self._fence is not None:
            await self._job()
        if not await self._may_work():
            return LONGEST_SLEEP
        await self._hand_out()
        if self._next_due is None:
            return LONGEST_SLEEP
        waiting = self._clock.seconds_until(self._next_due)
        return min(LONGEST_SLEEP, waiting if waiting > 0 else max(NO_ROOM_WAIT, self._pressure.seconds() / 10))

    async def heard(self, message: RunMinute) -> None:
        try:
            await self._look_at_the_clock()
            # Without the lease nothing is handed out, which must not look as if there was nothing to hand out.
            _ = self._lease.incarnation
            message.reply.set(await self._job())
            # The clock may have been set meanwhile, and what is due next may be due sooner than was thought.
            self.wake()
        except Unavailable as error:
            message.reply.fail(error)
        except LeaseLost:
            message.reply.fail(Unavailable("postgres", "this node has not been heard there for a while"))

    async def stop(self) -> None:
        """Let another ticker take over at once."""
        if self._fence is not None:
            try:
                await self._locks.release(LOCK, self._fence)
            except Unavailable:
                log.debug("ticker_lock_left_to_expire")

    async def _look_at_the_clock(self) -> None:
        asked_at = self._clock.steady()
        pulse = await self._messages.pulse()
        jump = self._clock.read(pulse, asked_at=asked_at)
        self._next_due = pulse.next_due
        self._metrics.clock_skew.set(self._clock.skew)
        if jump is not None:
            log.warning("clock_jumped", seconds=round(jump.seconds, 3), now=pulse.now.isoformat())
            self._metrics.clock_jumps.inc()
            self._on_jump(jump)

    async def _job(self) -> dict[str, int]:
        began = time.perf_counter()
        outcome = "failed"
        try:
            handed_out, expired = await self._hand_out() if await self._may_work() else (0, 0)
            outcome = "done"
            self._metrics.job_success.labels("minute").set_to_current_time()
            return {"queued": handed_out, "expired": expired}
        finally:
            self._metrics.job_runs.labels("minute", outcome).inc()
            self._metrics.job_duration.labels("minute").observe(time.perf_counter() - began)

    async def _may_work(self) -> bool:
        """Whether this node's ticker is the one that works. While the circuit is open it lets another one."""
        if not self._lease.held or self._email.circuit is CircuitState.OPEN:
            if self._fence is not None:
                fence, self._fence = self._fence, None
                await self._locks.release(LOCK, fence)
            return False
        if self._fence is not None and not await self._locks.renew(LOCK, self._fence, ttl=LOCK_FOR):
            self._fence = None
        if self._fence is None:
            self._fence = await self._locks.acquire(LOCK, ttl=LOCK_FOR, above=self._highest_fence)
        return self._fence is not None

    async def _hand_out(self) -> tuple[int, int]:
        """Claim and append until nothing is due or there is no room; how many were handed out, and expired."""
        handed_out = expired = 0
        counted = False
        while self._next_due is not None and self._clock.seconds_until(self._next_due) <= 0 and await self._may_work():
            if not counted:
                # Once a pass: of a backlog these are tens of thousands of rows. What is handed out is added to them.
                self._pressure.measured(await self._messages.outstanding(MOST), self._clock.steady())
                counted = True
            limit = min(self._size, self._pressure.room())
            if limit == 0:
                break
            with self._tracing.claim() as span:
                claimed, too_late = await self._claim(limit, span)
            handed_out += claimed
            expired += too_late
            if claimed + too_late < limit:
                self._size = FIRST_CLAIM
                await self._look_at_the_clock()
                break
            self._size = min(self._size * 2, LARGEST_CLAIM)
        return handed_out, expired

    async def _claim(self, limit: int, span: Span) -> tuple[int, int]:
        assert self._fence is not None  # noqa: S101 - the caller has made sure
        incarnation = self._lease.incarnation
        try:
            due = await self._messages.claim_due(
                fence=self._fence, incarnation=incarnation, limit=limit, late_limit=self._late_limit
            )
        except Replaced as replaced:
            # Redis has forgotten the numbers given out, or another ticker works: take a higher one, or wait.
            self._fence, self._highest_fence = None, replaced.number
            return 0, 0
        if due.queued:
            self._witness(Fact.DUE_CLAIMED)
            entries = [due.queued[i : i + IDS_PER_ENTRY] for i in range(0, len(due.queued), IDS_PER_ENTRY)]
            span.carried(len(entries), messages=len(due.queued))
            try:
                await self._due.append([encode(entry).decode() for entry in entries], traceparent=span.traceparent)
            except Unavailable:
                # Some may have arrived all the same; the rows tell their consumers that they are not queued.
                await self._messages.take_back(due.queued, incarnation=incarnation)
                raise
            self._witness(Fact.DUE_APPENDED)
            self._pressure.handed_out(len(due.queued))
        if due.expired:
            log.warning("messages_expired", count=len(due.expired))
            for occasion, count in Counter(one.occasion for one in due.expired).items():
                self._metrics.expired.labels(occasion).inc(count)
            await say_what_moved(self.ctx.name, due.expired)
        return len(due.queued), len(due.expired)
