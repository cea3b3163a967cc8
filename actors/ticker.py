"""Claims due messages and hands them to `heyday:due`; it wakes at the next due instant.

The ticker of one node works at a time, by a lock in Redis with a fencing token. If two work, the rows decide. It hands
out about half a minute of work at most (service.domain.backpressure). The ticker of every node reads the database's
clock, and so notices when it jumps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from actors.context import NodeContext
from actors.failpoints import Failpoint
from actors.periodic import PeriodicActor, reply_with
from actors.runtime import Reply
from service.domain.backpressure import MAX_ROOM, Backpressure
from service.domain.bundles import encode
from service.domain.messages import Status
from service.node.clock import Jump
from service.node.cron import CronSchedule
from service.ports import Circuit, CircuitState, Locks, Messages, StaleFencingToken, Unavailable, WorkStream
from service.telemetry.greeting_log import log_too_late
from service.telemetry.job_runs import job_run
from service.telemetry.tracing import Span

log = structlog.get_logger(__name__)

LOCK = "ticker"

LOCK_TTL = 3.0
"""Seconds until another ticker takes over from a dead one. Each pass renews the lock."""

CLOCK_POLL_INTERVAL = 1.0
"""Seconds between two readings of the clock at most, to notice clock jumps and edits that make a message due."""

FIRST_CLAIM = 50
"""Messages of the first claim of a wave: few, so that the first greeting leaves soon. Each later claim is twice as
large as the one before, until nothing is due."""

LARGEST_CLAIM = 12_500
"""Messages of one claim: a statement of a fraction of a second, and all the room that a wait makes."""

IDS_PER_ENTRY = 400
"""Ids of one stream entry: whole bundles of the delivery queue."""

NO_ROOM_WAIT = 0.1
"""Seconds, at least, until the next look at the outstanding work when there is no room for more."""


@dataclass(frozen=True, slots=True)
class RunMinute:
    """Do the minute job now: hand out what is due. Answers with the numbers of queued and expired messages."""

    reply: Reply[dict[str, int]]


class Ticker(PeriodicActor[RunMinute]):
    """Reads the clock, claims what is due, and appends it to the stream."""

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        due: WorkStream,
        locks: Locks,
        email: Circuit,
        *,
        cron: str,
        late_limit: timedelta,
        email_rate: Callable[[], float | None],
        on_jump: Callable[[Jump], None],
    ) -> None:
        super().__init__(node)
        self._messages = messages
        self._due = due
        self._locks = locks
        self._email = email
        self._cron = CronSchedule(cron)
        self._late_limit = late_limit
        self._on_jump = on_jump
        self._token: int | None = None
        """The fencing token under which this ticker works; None while another ticker works."""
        self._highest_token = 0
        self._pressure = Backpressure(at_most=email_rate)
        self._size = FIRST_CLAIM
        self._room_at = -math.inf
        """The instant of the steady clock before which there is too little room for more."""
        self._claim_may_be_lost = True
        """True while rows may be queued of which this ticker does not know: an answer was lost, or its predecessor
        crashed before it could hand them on."""

    async def run_once(self) -> float:
        clock = self.node.clock
        had_worked, is_full = self._token is not None, self._room_at > clock.steady()
        await self._read_clock(next_due=had_worked and not is_full)
        now = clock.now()
        await self._undo_lost_claim()
        if now is not None and self._cron.due(now) and self._token is not None:
            await self._job()
        if not await self._may_work():
            return CLOCK_POLL_INTERVAL
        if not had_worked:
            await self._read_clock(next_due=True)
        elif is_full:
            return min(CLOCK_POLL_INTERVAL, max(0.0, self._room_at - clock.steady()))
        await self._hand_out()
        if self._next_due is None:
            return CLOCK_POLL_INTERVAL
        waiting = clock.seconds_until(self._next_due) or NO_ROOM_WAIT
        return min(CLOCK_POLL_INTERVAL, max(waiting, self._room_at - clock.steady()))

    async def on_message(self, message: RunMinute) -> None:
        await reply_with(message.reply, self._run_minute())
        # The clock may have been set meanwhile, so the next due instant may come sooner.
        self.wake()

    async def _run_minute(self) -> dict[str, int]:
        await self._read_clock(next_due=True)
        # Raises LeaseLost: without the lease nothing is handed out, and "0" would look as if nothing were due.
        _ = self.node.lease.incarnation
        await self._undo_lost_claim()
        return await self._job()

    async def stop(self) -> None:
        """Release the lock, so that another ticker takes over at once."""
        if self._token is not None:
            try:
                await self._locks.release(LOCK, self._token)
            except Unavailable:
                log.debug("ticker_lock_left_to_expire")

    async def _read_clock(self, *, next_due: bool) -> None:
        clock, metrics = self.node.clock, self.node.metrics
        asked_at = clock.steady()
        reading = await self._messages.read_clock(next_due=next_due)
        jump = clock.read(reading, asked_at=asked_at)
        self._next_due = reading.next_due
        metrics.clock_skew.set(clock.skew)
        if jump is not None:
            log.warning("clock_jumped", seconds=round(jump.seconds, 3), now=reading.now.isoformat())
            metrics.clock_jumps.inc()
            self._on_jump(jump)

    async def _job(self) -> dict[str, int]:
        with job_run(self.node.metrics, "minute"):
            queued, expired = await self._hand_out() if await self._may_work() else (0, 0)
            return {"queued": queued, "expired": expired}

    async def _may_work(self) -> bool:
        """Take or renew the lock; True when this ticker holds it. While the circuit is open, another ticker may."""
        if not self.node.lease.held or self._email.circuit is CircuitState.OPEN:
            if self._token is not None:
                token, self._token = self._token, None
                await self._locks.release(LOCK, token)
            return False
        if self._token is not None and not await self._locks.renew(LOCK, self._token, ttl=LOCK_TTL):
            self._token = None
        if self._token is None:
            self._token = await self._locks.acquire(LOCK, ttl=LOCK_TTL, above=self._highest_token)
        return self._token is not None

    async def _hand_out(self) -> tuple[int, int]:
        """Claim and append until nothing is due or there is no room; return the numbers of queued and expired."""
        handed_out = expired = 0
        counted = False
        clock = self.node.clock
        while self._next_due is not None and clock.seconds_until(self._next_due) <= 0 and await self._may_work():
            if not counted:
                # Once a pass: in a backlog this counts tens of thousands of rows. What is handed out is added to it.
                found = await self._messages.outstanding(MAX_ROOM)
                self._pressure.measured(found.queued, clock.steady(), taken_back=found.taken_back)
                counted = True
                self._room_at = clock.steady() + self._pressure.seconds_until_room()
            if self._room_at > clock.steady():
                break
            limit = min(self._size, self._pressure.room())
            if limit == 0:
                self._room_at = clock.steady() + max(NO_ROOM_WAIT, self._pressure.seconds_until_room())
                break
            with self.node.tracing.claim() as span:
                claimed, too_late = await self._claim(limit, span)
            handed_out += claimed
            expired += too_late
            if claimed + too_late < limit:
                self._size = FIRST_CLAIM
                await self._read_clock(next_due=True)
                break
            self._size = min(self._size * 2, LARGEST_CLAIM)
        return handed_out, expired

    async def _undo_lost_claim(self) -> None:
        """Take the latest claim back if it may be lost. If it is in the stream too, its rows are queued once more.

        This comes before any further claim, because only the latest one can be taken back.
        """
        if self._claim_may_be_lost and self.node.lease.held:
            if await self._messages.requeue_claim(incarnation=self.node.lease.incarnation):
                await self._read_clock(next_due=True)
            self._claim_may_be_lost = False

    async def _claim(self, limit: int, span: Span) -> tuple[int, int]:
        assert self._token is not None  # noqa: S101 - the caller has made sure
        incarnation = self.node.lease.incarnation
        self._claim_may_be_lost = True
        try:
            due = await self._messages.claim_due(
                fence=self._token, incarnation=incarnation, limit=limit, late_limit=self._late_limit
            )
        except StaleFencingToken as stale:
            # Redis has lost its counter of tokens, or another ticker works: take a higher token, or wait.
            self._token, self._highest_token = None, stale.number
            self._claim_may_be_lost = False
            return 0, 0
        if due.queued:
            self.node.failpoint(Failpoint.DUE_CLAIMED)
            entries = [due.queued[i : i + IDS_PER_ENTRY] for i in range(0, len(due.queued), IDS_PER_ENTRY)]
            span.carried(len(entries), messages=len(due.queued))
            try:
                await self._due.append([encode(entry).decode() for entry in entries], traceparent=span.traceparent)
            except Unavailable:
                # Some entries may be in the stream anyway. Their consumers see that the rows are not queued.
                await self._messages.requeue(due.queued, incarnation=incarnation)
                self._claim_may_be_lost = False
                raise
            self.node.failpoint(Failpoint.DUE_APPENDED)
            self._pressure.handed_out(len(due.queued))
        self._claim_may_be_lost = False
        if due.too_late:
            expired = Counter(one.occasion for one in due.too_late if one.status is Status.EXPIRED)
            if expired:
                log.warning("messages_expired", count=expired.total())
            for occasion, count in expired.items():
                self.node.metrics.expired.labels(occasion).inc(count)
            await log_too_late(self.ctx.name, due.too_late)
        return len(due.queued), len(due.too_late)
