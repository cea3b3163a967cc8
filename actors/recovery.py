"""Moves stuck work one hop back: lost claims, abandoned stream entries, rows queued for too long, open ranges.

Every step is a compare-and-set, so any number of nodes may do it. A pass also deletes rows whose life has ended,
because it comes by often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from actors.claims import release_claims
from actors.context import NodeContext
from actors.periodic import LeasedActor, reply_with
from actors.runtime import Reply
from service.node.cron import CronSchedule
from service.node.email_services import EmailServices
from service.ports import (
    CircuitState,
    DeliveryQueue,
    Emptied,
    Messages,
    Nodes,
    Planning,
    Retention,
    WorkStream,
)
from service.ports.names import PLAN, REDIS_QUEUE
from service.telemetry.job_runs import job_run

log = structlog.get_logger(__name__)

TRIGGER_POLL_INTERVAL = 1.0
"""Seconds between two checks if a pass is due."""

PASS_INTERVAL = 15.0
"""Seconds between two passes. A death, an emptied store or the cron starts one earlier."""

ENTRY_IDLE_FOR = 600.0
"""Seconds after which even a living node's unfinished entry is put back: the node has lost it."""

QUEUED_FOR = timedelta(seconds=90)
"""A message that is queued for longer has lost its entry: three times the work that is handed out ahead."""

LOSSES_FORGOTTEN_AFTER = 600.0
"""Seconds without another loss after which the delivery queue counts as sound."""

ATTEMPTS_IN_A_ROW = 3
"""Call time-outs that a claimed message may wait for: two of earlier messages in its place, and its own."""

CLAIMED_FOR = 60.0
"""Further seconds after which a living node may have lost a claim."""

ROWS_DELETED_PER_PASS = 50_000
"""Expired rows that a pass deletes. A node stores fewer responses between two passes."""

RANGE_OPEN_FOR = 30.0
"""Seconds after which a range that is not planned is handed out again."""

RANGES_PER_PASS = 1000
"""Open ranges that a pass hands out, at most."""


def sending_for(email_timeout: timedelta) -> float:
    """Seconds after which, by its row, a living node may have lost a claim. After as many again it is released."""
    return ATTEMPTS_IN_A_ROW * email_timeout.total_seconds() + CLAIMED_FOR


def lost_claim_is_freed_within(email_timeout: timedelta) -> float:
    """Seconds within which a lost claim of a living node is released, including the wait for a pass."""
    return 2 * (sending_for(email_timeout) + PASS_INTERVAL)


@dataclass(frozen=True, slots=True)
class RunRecovery:
    """Do a pass now. Answers with the numbers of what was moved, by step."""

    reply: Reply[dict[str, int]]


@dataclass(frozen=True, slots=True)
class RebuildQueues:
    """A store was emptied: find the work again from the rows."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message has failed: publish a copy to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class NodeDied:
    """A node was ended: put back the work that it held."""


class Recovery(LeasedActor[RunRecovery | RebuildQueues | DeadLetter | NodeDied]):
    """Runs a pass every `PASS_INTERVAL` seconds, and at once after a death, an emptied store or the cron."""

    def __init__(
        self,
        node: NodeContext,
        messages: Messages,
        nodes: Nodes,
        planning: Planning,
        streams: Mapping[str, WorkStream],
        queue: DeliveryQueue,
        retention: Retention,
        services: EmailServices,
        *,
        email_timeout: timedelta,
        cron: str,
    ) -> None:
        super().__init__(node)
        self._messages = messages
        self._nodes = nodes
        self._planning = planning
        self._streams = streams
        self._queue = queue
        self._retention = retention
        self._services = services
        self._sending_for = sending_for(email_timeout)
        self._cron = CronSchedule(cron)
        self._next_pass = 0.0
        self._none_left_at = float("-inf")
        """The instant of the steady clock at which no message could leave, lately."""
        self._sending_since: dict[tuple[UUID, int], float] = {}
        self._lossy_since = self._last_loss_at = float("-inf")
        self._store_emptied = False
        self._highest_range = 0
        self._node_died = False
        self._dead_letter_due = False

    async def run_leased(self) -> float:
        now, steady = self.node.clock.now(), self.node.clock.steady()
        cron_is_due = now is not None and self._cron.due(now) is not None
        if self._node_died or cron_is_due or self._store_emptied or steady >= self._next_pass:
            self._next_pass = float("-inf")  # what an outage or a lost lease breaks off is done again as a whole
            await self._pass()
            self._next_pass = self.node.clock.steady() + PASS_INTERVAL
        elif self._dead_letter_due:
            await self._dead_letter_failed()
        return TRIGGER_POLL_INTERVAL

    async def on_message(self, message: RunRecovery | RebuildQueues | DeadLetter | NodeDied) -> None:
        match message:
            case RebuildQueues():
                self._store_emptied = True
            case NodeDied():
                self._node_died = True
            case DeadLetter():
                self._dead_letter_due = True
            case RunRecovery(reply):
                await reply_with(reply, self._pass())
                return
        self.wake()

    async def _pass(self) -> dict[str, int]:
        with job_run(self.node.metrics, "recovery"):
            moved = {
                "claims_released": await self._release_claims(),
                "entries_requeued": await self._requeue_abandoned(),
                "messages_requeued": await self._requeue_lost(),
                # A node that died may have announced ranges without appending them to the stream.
                "ranges_appended": await self._hand_out_ranges(at_once=self._node_died or self._store_emptied),
            }
            # Here, because a step below may fail again and again, and these must not be repeated with it.
            self._store_emptied = self._node_died = False
            moved["dead_lettered"] = await self._dead_letter_failed()
            deleted = await self._delete_expired()
            await self._messages.forget_repaired()
        if any(moved.values()):
            log.info("recovered", **moved)
        return {**moved, "rows_deleted": deleted}

    async def _release_claims(self) -> int:
        lost = await self._lost_claims()
        return await release_claims(self.node, self._messages, self._services, actor=self.ctx.name, lost=lost)

    async def _lost_claims(self) -> list[tuple[UUID, int]]:
        """Return the attempts that a living node has been making for longer than any attempt takes.

        The rows name the candidates; the steady clock of this node decides. So a jump of the database's clock frees
        nothing.
        """
        now = self.node.clock.steady()
        current = await self._messages.sending_for(self._sending_for)
        self._sending_since = {claim: self._sending_since.get(claim, now) for claim in current}
        return [attempt for attempt, since in self._sending_since.items() if now - since >= self._sending_for]

    async def _requeue_abandoned(self) -> int:
        living = {beat.node for beat in await self._nodes.living()}
        requeued_entries = 0
        reclaimed_metric = self.node.metrics.stream_reclaimed
        for name, stream in self._streams.items():
            try:
                requeued = await stream.requeue_abandoned(living=living, idle=ENTRY_IDLE_FOR)
            except Emptied:
                self._store_emptied = True
                continue
            requeued_entries += requeued.entries
            reclaimed_metric.labels(name).inc(requeued.entries)
        try:
            reclaimed = await self._queue.requeue_abandoned(living=living)
        except Emptied:
            self._store_emptied = True
            return requeued_entries
        if reclaimed:
            reclaimed_metric.labels(REDIS_QUEUE.delivery).inc(reclaimed)
        return requeued_entries + reclaimed

    async def _requeue_lost(self) -> int:
        """Take back rows that are queued for too long. After a store was emptied, take back all queued rows.

        While the circuit is open or the email service asks for a pause, and for a while after, rows wait in the queue
        on purpose.
        """
        now = self.node.clock.steady()
        if self._services.circuit is CircuitState.OPEN or self._services.paused:
            self._none_left_at = now
        if not self._store_emptied and now - self._none_left_at < QUEUED_FOR.total_seconds():
            return 0
        patience = timedelta(0) if self._store_emptied else QUEUED_FOR
        taken = 0
        while count := await self._messages.requeue_lost(queued_for=patience):
            taken += count
        if taken and not self._store_emptied:
            self.node.metrics.queue_lost.inc(taken)
            self._note_loss(taken, now)
        return taken

    def _note_loss(self, messages: int, now: float) -> None:
        """Log a loss that follows another: what was queued again is lost too, so the queue confirms and drops."""
        if now - self._last_loss_at > LOSSES_FORGOTTEN_AFTER:
            self._lossy_since = now
        self._last_loss_at = now
        if now - self._lossy_since >= QUEUED_FOR.total_seconds():
            log.error("delivery_queue_losing", messages=messages, seconds=round(now - self._lossy_since))

    async def _hand_out_ranges(self, *, at_once: bool) -> int:
        older_than = 0.0 if at_once else RANGE_OPEN_FOR
        ranges = await self._planning.open_ranges(
            older_than=older_than, limit=RANGES_PER_PASS, after=self._highest_range
        )
        # A range that cannot be planned stays open. So the next pass goes on after the ranges of this one.
        self._highest_range = ranges[-1] if len(ranges) == RANGES_PER_PASS else 0
        if ranges:
            await self._streams[PLAN].append([str(range_id) for range_id in ranges])
        return len(ranges)

    async def _dead_letter_failed(self) -> int:
        """Publish a copy of each failed message to the dead-letter queue, twice rather than not at all."""
        copied = 0
        while ids := await self._messages.awaiting_dead_letter():
            await self._queue.dead_letter(ids)
            await self._messages.mark_dead_lettered(ids)
            copied += len(ids)
        self._dead_letter_due = False
        return copied

    async def _delete_expired(self) -> int:
        deleted = 0
        while deleted < ROWS_DELETED_PER_PASS and (count := await self._retention.forget_expired()):
            deleted += count
        return deleted
