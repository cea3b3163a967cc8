"""Moves whatever is stuck one hop back: claims that their node has lost, entries nobody finishes, rows without a way.

All it does is a compare-and-set, so it does not matter how many nodes do it. As it comes by so often, it also deletes
what the API has kept for long enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from actors.lease import Lease
from actors.lines import say_what_moved
from actors.repeating import FIRST_WAIT, Repeating
from actors.runtime import Reply
from service.cadence import Cadence
from service.clock import BusinessClock
from service.domain.retry import RetryPolicy
from service.outages import Outages
from service.ports import (
    CircuitState,
    DeliveryQueue,
    EmailService,
    Emptied,
    KeptAnswers,
    Messages,
    Nodes,
    Planning,
    Unavailable,
    WorkStream,
)
from service.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at whether a pass is due."""

PASS_EVERY = 15.0
"""Seconds between two passes; a death, an emptied store or the cron brings one forward."""

IDLE_FOR = 600.0
"""Seconds after which even a living node's unfinished entry is put back: it has lost it."""

QUEUED_FOR = timedelta(seconds=90)
"""How long a message may be queued: three times the work that is handed out ahead. Longer, and its way is lost."""

ATTEMPTS_IN_A_ROW = 3
"""Time-outs that a claimed message may wait for: those of the two before it in its place, and its own."""

CLAIMED_FOR = 60.0
"""Seconds beyond those after which a claim may have been lost by its node, which lives."""

FORGOTTEN_IN_A_PASS = 50_000
"""Expired answers of the API that a pass deletes: more than a node answers between two."""

RANGE_OPEN_FOR = 30.0
"""Seconds after which a range that is not planned is handed out again."""


def sending_for(email_timeout: timedelta) -> float:
    """Seconds after which a claim of a living node is a candidate, by its row; after as many again it is freed."""
    return ATTEMPTS_IN_A_ROW * email_timeout.total_seconds() + CLAIMED_FOR


def lost_claim_is_freed_within(email_timeout: timedelta) -> float:
    """Seconds after which a claim that a living node has lost is freed at the latest: the passes come in between."""
    return 2 * (sending_for(email_timeout) + PASS_EVERY)


@dataclass(frozen=True, slots=True)
class RunRecovery:
    """Do a pass now. Answers how many were moved, by what was done."""

    reply: Reply[dict[str, int]]


@dataclass(frozen=True, slots=True)
class Reseed:
    """A store was emptied: find the work again from the rows."""


@dataclass(frozen=True, slots=True)
class Bury:
    """A message has failed: leave its copy with the dead letters."""


@dataclass(frozen=True, slots=True)
class NodeDied:
    """A node was ended: put back what it had in its hands."""


class Recovery(Repeating[RunRecovery | Reseed | Bury | NodeDied]):
    """The one that finds what was lost."""

    def __init__(
        self,
        messages: Messages,
        nodes: Nodes,
        planning: Planning,
        streams: Mapping[str, WorkStream],
        queue: DeliveryQueue,
        kept_answers: KeptAnswers,
        email: EmailService,
        *,
        policy: RetryPolicy,
        email_timeout: timedelta,
        cron: str,
        lease: Lease,
        clock: BusinessClock,
        outages: Outages,
        metrics: Metrics,
    ) -> None:
        super().__init__(outages)
        self._messages = messages
        self._nodes = nodes
        self._planning = planning
        self._streams = streams
        self._queue = queue
        self._kept_answers = kept_answers
        self._email = email
        self._policy = policy
        self._sending_for = sending_for(email_timeout)
        self._cadence = Cadence(cron)
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._next_pass = 0.0
        self._open_until = float("-inf")
        self._sending_since: dict[tuple[UUID, int], float] = {}
        self._reseed = False
        self._somebody_died = False
        self._bury = False

    async def turn(self) -> float:
        if not await self._lease.granted(within=LOOK_EVERY):
            return FIRST_WAIT
        now = self._clock.now()
        cron_is_due = now is not None and self._cadence.due(now) is not None
        if self._somebody_died or cron_is_due or self._reseed or self._clock.steady() >= self._next_pass:
            await self._pass()
            self._next_pass = self._clock.steady() + PASS_EVERY
        elif self._bury:
            await self._bury_failed()
        return LOOK_EVERY

    async def heard(self, message: RunRecovery | Reseed | Bury | NodeDied) -> None:
        match message:
            case Reseed():
                self._reseed = True
            case NodeDied():
                self._somebody_died = True
            case Bury():
                self._bury = True
            case RunRecovery(reply):
                try:
                    reply.set(await self._pass())
                except Unavailable as error:
                    reply.fail(error)
                return
        self.wake()

    async def _pass(self) -> dict[str, int]:
        began = time.perf_counter()
        outcome = "failed"
        try:
            moved = {
                "claims_freed": await self._free_claims(),
                "entries_put_back": await self._put_back_entries(),
                "taken_back": await self._take_back_lost(),
                # The dead may have announced them and not got as far as the stream.
                "ranges_handed_out": await self._hand_out_ranges(all_of_them=self._somebody_died or self._reseed),
                "buried": await self._bury_failed(),
            }
            forgotten = await self._forget_answers()
            self._reseed = self._somebody_died = False
            outcome = "done"
            self._metrics.job_success.labels("recovery").set_to_current_time()
        finally:
            self._metrics.job_runs.labels("recovery", outcome).inc()
            self._metrics.job_duration.labels("recovery").observe(time.perf_counter() - began)
        if any(moved.values()):
            log.info("recovered", **moved)
        return {**moved, "answers_forgotten": forgotten}

    async def _free_claims(self) -> int:
        stuck = await self._stuck()
        total = 0
        while freed := await self._messages.free_claims(stuck, hold=self._policy.hold, attempts=self._policy.attempts):
            self._metrics.claims_freed([(one.status, one.occasion) for one in freed])
            await say_what_moved(self.ctx.name, freed)
            total += len(freed)
            stuck = []  # freed, or found to have ended
        return total

    async def _stuck(self) -> list[tuple[UUID, int]]:
        """Attempts that a living node has been making for longer than any attempt takes: it has lost them.

        The rows tell the candidates, our own steady clock decides: a jump of the database's clock frees nothing.
        """
        now = self._clock.steady()
        current = await self._messages.sending_for(self._sending_for)
        self._sending_since = {claim: self._sending_since.get(claim, now) for claim in current}
        return [attempt for attempt, since in self._sending_since.items() if now - since >= self._sending_for]

    async def _put_back_entries(self) -> int:
        living = {beat.node for beat in await self._nodes.living()}
        put_back = 0
        for name, stream in self._streams.items():
            try:
                requeued = await stream.requeue_abandoned(living=living, idle=IDLE_FOR)
            except Emptied:
                self._reseed = True
                continue
            put_back += requeued.entries
            self._metrics.stream_reclaimed.labels(name).inc(requeued.entries)
            for body in requeued.given_up:
                log.error("stream_entry_given_up", stream=name, body=body[:200])
        try:
            reclaimed = await self._queue.requeue_abandoned(living=living)
        except Emptied:
            self._reseed = True
            return put_back
        if reclaimed:
            self._metrics.stream_reclaimed.labels("heyday:delivery").inc(reclaimed)
        return put_back + reclaimed

    async def _take_back_lost(self) -> int:
        """Rows queued for too long, or all of them after a store was emptied. Not while the circuit is open: then
        they wait in the queue on purpose, and for a while after."""
        now = self._clock.steady()
        if self._email.circuit is CircuitState.OPEN:
            self._open_until = now
        if not self._reseed and now - self._open_until < QUEUED_FOR.total_seconds():
            return 0
        patience = timedelta(0) if self._reseed else QUEUED_FOR
        taken = 0
        while count := await self._messages.take_back_lost(queued_for=patience):
            taken += count
        return taken

    async def _hand_out_ranges(self, *, all_of_them: bool) -> int:
        ranges = await self._planning.open_ranges(older_than=0 if all_of_them else RANGE_OPEN_FOR, limit=1000)
        if ranges:
            await self._streams["heyday:plan"].append([str(range_id) for range_id in ranges])
        return len(ranges)

    async def _bury_failed(self) -> int:
        """Leave copies of failed messages with the dead letters: again, rather than not at all."""
        buried = 0
        while ids := await self._messages.unburied():
            await self._queue.bury(ids)
            await self._messages.buried(ids)
            buried += len(ids)
        self._bury = False
        return buried

    async def _forget_answers(self) -> int:
        """Answers to requests with an Idempotency-Key show users as they were, and do not outlive their use."""
        forgotten = 0
        while forgotten < FORGOTTEN_IN_A_PASS and (count := await self._kept_answers.forget_expired()):
            forgotten += count
        return forgotten
