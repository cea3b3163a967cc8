"""Calls of the port `Messages`: claims, attempts, outcomes, releases, requeues and redrives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from service.domain.messages import Answer, Outcome, Status
from service.domain.roles import Role
from service.ports import AuditAction, AuditFilter, Claim, Claims, ClockReading, Due, Principal, Recorded, Result
from tests.contracts.chance import Chance, place
from tests.contracts.sides import LATE_LIMIT, Sides
from tests.principals import OPERATOR

OUTCOMES: tuple[tuple[Status, Outcome | None, int | None, str | None], ...] = (
    (Status.SENT, Outcome.ACCEPTED, 200, None),
    (Status.SENT, Outcome.ACCEPTED, 202, None),
    (Status.FAILED, Outcome.PERMANENT_FAILURE, 422, "refused"),
    (Status.RETRYING, Outcome.TRANSIENT_FAILURE, 503, "busy"),
    (Status.RETRYING, Outcome.TRANSIENT_FAILURE, None, "no connection"),
    (Status.RETRYING, Outcome.TRANSIENT_FAILURE, 500, "it failed"),
    (Status.FAILED, Outcome.TRANSIENT_FAILURE, 500, "its attempts are spent"),
    (Status.RETRYING, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.UNKNOWN, Outcome.UNKNOWN, None, "no answer in time"),
    (Status.RETRYING, None, None, None),
)
"""Ends of a claim: the next state, the outcome (None: no attempt), its status code and error."""


class Senders:
    """Makes these calls."""

    def __init__(self, sides: Sides, chance: Chance) -> None:
        self._sides = sides
        self._chance = chance
        self._random = chance.random
        self._fence = 1
        self._claims: list[Claim] = []
        """Every claim that was granted, also lost ones."""
        self._stuck: list[tuple[UUID, int]] = []
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.claim_due: 16,
            self.claim_for_sending: 18,
            self.record: 14,
            self.requeue: 4,
            self.requeue_claim: 2,
            self.requeue_lost: 2,
            self.sending_for: 3,
            self.release_claims: 5,
            self.dead_letter: 3,
            self.redrive: 4,
            self.count: 4,
            self.damage: 3,
            self.look_at_set_aside: 2,
            self.audit: 2,
        }

    async def claim_due(self) -> None:
        self._fence = max(1, self._fence + self._random.choice([0, 0, 0, 0, 1, -1]))
        fence, incarnation = self._fence, self._chance.incarnation()
        due_at = {row.id: row.due_at for row in self._sides.truth.messages.values()}
        limit = self._whole_groups(self._random.choice([0, 1, 2, 5, 100]))
        late_limit = self._random.choice([LATE_LIMIT, timedelta(hours=36), timedelta(hours=2), timedelta(minutes=90)])

        def comparable(due: Due) -> object:
            # Messages due at one instant have no order.
            late = [moved.id for moved in due.too_late]
            ids_only = [(sorted(ids), [due_at[message] for message in ids]) for ids in (due.queued, late)]
            return ids_only, {(moved.id, moved.status, moved.occasion, moved.attempt) for moved in due.too_late}

        await self._sides.ask(
            f"claim_due up to {limit} by {incarnation} with fence {fence}, late after {late_limit}",
            lambda side: side.messages.claim_due(
                fence=fence, incarnation=incarnation, limit=limit, late_limit=late_limit
            ),
            comparable=comparable,
        )

    async def requeue(self) -> None:
        ids, incarnation = self._chance.some(Status.QUEUED), self._chance.incarnation()
        await self._sides.ask(
            f"requeue {ids} of {incarnation}",
            lambda side: side.messages.requeue(ids, incarnation=incarnation),
        )

    async def requeue_claim(self) -> None:
        incarnation = self._chance.incarnation()
        await self._sides.ask(
            f"requeue_claim of {incarnation}", lambda side: side.messages.requeue_claim(incarnation=incarnation)
        )

    async def requeue_lost(self) -> None:
        queued_for = timedelta(seconds=self._random.choice([0, 30, 600]))
        await self._sides.ask(
            f"requeue_lost, queued for {queued_for}",
            lambda side: side.messages.requeue_lost(queued_for=queued_for),
        )

    async def claim_for_sending(self) -> None:
        ids, incarnation = self._chance.some(Status.QUEUED, most=10), self._chance.incarnation()
        token: int | None = self._random.choice([None, 1, 2])
        late_limit = self._random.choice([None, timedelta(hours=48), timedelta(minutes=1)])
        if self._random.random() < 0.2:  # the answer to a claim was lost: it is repeated
            ids = [*ids, *self._chance.some(Status.SENDING, most=10)]
        fallback = [one for one in ids if self._random.random() < 0.5] if self._random.random() < 0.5 else []

        def comparable(claimed: Claims) -> object:
            return sorted(claimed, key=lambda one: one.claim.id), claimed.left_out

        claimed = await self._sides.ask(
            f"claim_for_sending {ids} by {incarnation} under {token}, late after {late_limit}, {fallback} for fallback",
            lambda side: side.messages.claim_for_sending(
                ids, incarnation=incarnation, token=token, late_limit=late_limit, fallback=fallback
            ),
            release=self._chance.release(),
            comparable=comparable,
        )
        self._claims += [one.claim for one in claimed or []]

    async def record(self) -> None:
        at = 1000.0
        mine = {claim: self._result(claim, at) for claim in self._some_claims()}
        results = list(mine.values())
        if self._sides.truth.damaged:  # in halves, two results of one message may be written one after the other
            results = list({result.claim.id: result for result in results}.values())
        self._random.shuffle(results)

        def comparable(recorded: list[Recorded]) -> object:
            return sorted(recorded, key=lambda one: one.id)

        await self._sides.ask(
            f"record {results}", lambda side: side.messages.record(results, at=at), comparable=comparable
        )

    async def sending_for(self) -> None:
        seconds = self._random.choice([0.0, 15.0, 300.0])
        found = await self._sides.ask(f"sending_for {seconds} s", lambda side: side.messages.sending_for(seconds))
        rows = self._sides.truth.messages
        self._stuck += sorted(found or set(), key=lambda stuck: place(rows[stuck[0]]))

    async def release_claims(self) -> None:
        stuck = {one for one in self._stuck if self._random.random() < 0.5}
        stuck |= {(claim.id, claim.attempt) for claim in self._some_claims() if self._random.random() < 0.2}
        # Found stuck earlier, when another attempt was under way.
        sending = self._chance.rows(Status.SENDING)
        stuck |= {(row.id, row.attempt - 1) for row in sending if self._random.random() < 0.3}
        hold, hold_fallback = self._random.random() < 0.3, self._random.choice([None, False, True])
        await self._sides.ask(
            f"release_claims of {stuck}, hold: {hold}, at the fallback: {hold_fallback}",
            lambda side: side.messages.release_claims(stuck, hold=hold, hold_fallback=hold_fallback),
            comparable=lambda freed: sorted(freed, key=lambda moved: moved.id),
        )

    async def dead_letter(self) -> None:
        await self._sides.ask("awaiting_dead_letter", lambda side: side.messages.awaiting_dead_letter())
        ids = self._chance.some(Status.FAILED)
        await self._sides.ask(f"dead_lettered {ids}", lambda side: side.messages.mark_dead_lettered(ids))

    async def redrive(self) -> None:
        ids = self._chance.some(Status.FAILED, Status.UNKNOWN, Status.EXPIRED)
        await self._sides.ask(f"redrive {ids}", lambda side: side.messages.redrive(ids, by=OPERATOR), comparable=sorted)

    async def audit(self) -> None:
        by = self._random.choice([OPERATOR, Principal("command line", Role.ADMIN, os_user="root")])
        job = self._random.choice(["daily", "minute"])
        since = self._random.choice([None, self._sides.at])
        wanted = AuditFilter(self._random.choice([None, *AuditAction]), self._random.choice([None, by.name]), since)
        await self._sides.ask(f"run of {job}", lambda side: side.audit.record(by, AuditAction.JOB_RUN, [job]))
        await self._sides.ask(
            f"audit of {wanted}",
            lambda side: side.audit.page(wanted, before=None, limit=1000),
            comparable=lambda found: sorted((one.at, repr(one.by), one.action, one.subject_id) for one in found),
        )

    async def damage(self) -> None:
        """Let PostgreSQL refuse to change a few messages, or repair them."""
        damaged = self._chance.some(*Status) if self._random.random() < 0.6 else []
        await self._sides.damage([one for one in damaged if one in self._sides.truth.messages])

    async def look_at_set_aside(self) -> None:
        await self._sides.ask(
            "set_aside",
            lambda side: side.messages.set_aside(1000),
            comparable=lambda found: sorted(found, key=lambda one: one.id),
        )
        await self._sides.ask("forget_repaired", lambda side: side.messages.forget_repaired())

    async def count(self) -> None:
        limit = self._random.choice([0, 2, 1000])

        def comparable(reading: ClockReading) -> object:
            return reading.now, reading.rate, reading.next_due

        await self._sides.ask("read_clock", lambda side: side.messages.read_clock(next_due=True), comparable=comparable)
        await self._sides.ask("read_clock alone", lambda side: side.messages.read_clock(), comparable=comparable)
        await self._sides.ask(f"outstanding up to {limit}", lambda side: side.messages.outstanding(limit))
        await self._sides.ask("open_by_status", lambda side: side.messages.open_by_status())
        await self._sides.ask("next_wave", lambda side: side.messages.next_wave())
        await self._sides.ask(
            "oldest_due_age",
            lambda side: side.messages.oldest_due_age(),
            comparable=lambda age: None if self._queued_first() > 1 else age,
        )

    def _some_claims(self) -> list[Claim]:
        """Return some claims under way, and perhaps one that was lost long ago."""
        rows = self._sides.truth.messages
        open_claims = [
            claim
            for claim in self._claims
            if claim.id in rows
            and rows[claim.id].status is Status.SENDING
            and (rows[claim.id].attempt, rows[claim.id].claim_token) == (claim.attempt, claim.token)
        ]
        mine = self._random.sample(open_claims, self._random.randint(0, len(open_claims)))
        late = self._random.sample(self._claims, min(1, len(self._claims))) if self._random.random() < 0.3 else []
        return list(dict.fromkeys([*mine, *late]))

    def _result(self, claim: Claim, at: float) -> Result:
        status, outcome, status_code, error = self._random.choice(OUTCOMES)
        duration = self._random.choice([0.25, 1.5, 10.0])
        spent, provider_id = self._random.random() < 0.6, self._random.choice([None, "b7e23ec2"])
        answer = (
            None
            if outcome is None
            else Answer(
                outcome,
                duration,
                status_code,
                error,
                spent=spent,
                provider_id=provider_id,
                in_doubt=status_code == 500,
            )
        )
        delay = timedelta(seconds=self._random.choice([0, 1, 60, 3600])) if status is Status.RETRYING else timedelta()
        return Result(claim, status, answer, at - duration - self._random.choice([0.0, 0.5]), delay)

    def _queued_first(self) -> int:
        """Return the number of due instants among those queued first together; their order is not defined."""
        queued = self._chance.rows(Status.QUEUED)
        first = min((row.queued_at for row in queued if row.queued_at), default=None)
        return len({row.due_at for row in queued if row.queued_at == first})

    def _whole_groups(self, limit: int) -> int:
        """Return a limit that does not split messages due at one instant, whose order is not defined."""
        due = sorted(
            row.due_at
            for row in self._chance.rows(Status.SCHEDULED, Status.RETRYING)
            if row.due_at <= self._sides.at and not self._sides.truth.is_set_aside(row.id)
        )
        while 0 < limit < len(due) and due[limit - 1] == due[limit]:
            limit += 1
        return limit
