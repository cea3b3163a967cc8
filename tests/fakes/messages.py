"""The fake of the port `Messages`: every claim, every outcome and every hop back, on the rows in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.messages import REDRIVABLE, Outcome, Status
from service.ports import Claim, Claimed, Due, Moved, Pulse, Recorded, Replaced, Result
from tests.fakes.rows import ENDED, AttemptRow, MessageRow, Nowhere
from tests.fakes.truth import Truth

AT_ONCE = 5_000
"""Rows that one pass of recovery moves."""

UNBURIED_AT_ONCE = 500

_WAITING = (Status.SCHEDULED, Status.RETRYING)

_UNDER_WAY = (Status.QUEUED, Status.SENDING)


class FakeMessages:
    """Implements `service.ports.Messages`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def pulse(self) -> Pulse:
        truth = self._truth
        next_due = min((row.due_at for row in truth.in_state(*_WAITING)), default=None)
        return Pulse(truth.now(), truth.real_now(), truth.rate(), next_due)

    async def outstanding(self, limit: int) -> int:
        return min(limit, len(list(self._truth.in_state(Status.QUEUED))))

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        truth, now = self._truth, self._truth.now()
        if truth.fences["ticker"] > fence:
            raise Replaced(truth.fences["ticker"])
        truth.fences["ticker"] = fence
        due = sorted((row for row in truth.in_state(*_WAITING) if row.due_at <= now), key=lambda row: row.due_at)
        queued, expired = [], []
        for row in due[:limit]:
            if max(row.redriven_at or row.send_at, row.send_at) < now - late_limit:
                reason = f"too late to send: more than {_interval(late_limit)} after its instant"
                moved = {"status": Status.EXPIRED, "ended_at": now, "reason": reason}
                expired.append(Moved(row.id, Status.EXPIRED, row.occasion, row.attempt))
            else:
                moved = {"status": Status.QUEUED}
                queued.append(row.id)
            truth.move(row, queued_at=now, queued_by=incarnation, **moved)
        return Due(tuple(queued), tuple(expired))

    async def take_back(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        mine = [row for row in self._truth.named(ids, Status.QUEUED) if row.queued_by == incarnation]
        for row in mine:
            self._truth.move(row, status=_before_queued(row))
        return len(mine)

    async def take_back_claim(self, *, incarnation: int) -> int:
        of_node = [row for row in self._truth.in_state(Status.QUEUED) if row.queued_by == incarnation]
        latest = max((row.queued_at for row in of_node if row.queued_at), default=None)
        lost = [row for row in of_node if row.queued_at == latest]
        for row in lost:
            self._truth.move(row, status=_before_queued(row), reason="taken back: the node that claimed it died")
        return len(lost)

    async def claim_for_sending(self, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        truth, now = self._truth, self._truth.now()
        claimed = []
        for row in truth.named(ids, Status.QUEUED):
            user, occasion = truth.user(row.user_id), truth.occasions.get(row.occasion)
            if row.due_at > now or user is None or occasion is None:
                continue
            attempt = row.attempt + 1
            truth.move(row, status=Status.SENDING, attempt=attempt, claimed_by=incarnation, claimed_at=now)
            claimed.append(
                Claimed(
                    Claim(row.id, row.local_year, attempt, incarnation),
                    attempts_spent=attempt - row.attempt_base,
                    send_at=row.send_at,
                    occasion=row.occasion,
                    first_name=user.profile.first_name,
                    last_name=user.profile.last_name,
                    email=user.profile.email,
                    template=occasion.template,
                )
            )
        return claimed

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        recorded = []
        began = {result.claim: self._truth.now() - self._truth.business(at - result.began) for result in results}
        for result in results:
            claim, answer = result.claim, result.answer
            # What the service answered is a fact, whoever the message belongs to by now.
            if answer is not None:
                self._log(claim, answer.outcome, began[claim], answer.duration, answer.status_code, answer.error)
        for result in results:
            moved = self._settle(result)
            if moved is not None:
                lateness = (began[result.claim] - moved.send_at).total_seconds()
                recorded.append(Recorded(moved.id, moved.status, moved.occasion, lateness))
        return recorded

    def _settle(self, result: Result) -> MessageRow | None:
        """What the message is after that result of its owner, or after any acceptance; None: as it was."""
        claim, answer = result.claim, result.answer
        row = self._truth.messages.get(claim.id)
        if row is None or row.local_year != claim.local_year or row.status is Status.SENT:
            return None
        if row.status is Status.SENDING:
            if (row.claimed_by, row.attempt) != (claim.incarnation, claim.attempt):
                return None
            status, reason = result.status, answer.error if answer else "not attempted"
            if status is not Status.SENT and self._was_accepted(row):
                status, reason = Status.SENT, "accepted by an earlier attempt"
            # An attempt that was not made is not spent.
            attempt = row.attempt if answer or status is Status.SENT else row.attempt - 1
            return self._end_attempt(row, status, reason=reason, delay=result.delay, attempt=attempt)
        deleted = row.status is Status.CANCELLED and self._truth.user(row.user_id) is None
        if answer is None or answer.outcome is not Outcome.ACCEPTED or deleted:
            return None
        attempt = max(row.attempt, claim.attempt)
        return self._end_attempt(row, Status.SENT, reason="accepted: the answer was recorded late", attempt=attempt)

    def _was_accepted(self, row: MessageRow) -> bool:
        numbers = range(1, row.attempt + 1)
        return any((row.id, number, Outcome.ACCEPTED) in self._truth.attempts for number in numbers)

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        before = self._truth.now() - self._truth.business(seconds)
        sending = self._truth.in_state(Status.SENDING)
        return {(row.id, row.attempt) for row in sending if self._since(row.claimed_at, before)}

    async def free_claims(self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, attempts: int) -> list[Moved]:
        sending = self._truth.in_state(Status.SENDING)
        dead = [row for row in sending if (row.id, row.attempt) in stuck or not self._truth.lives(row.claimed_by)]
        freed = []
        for row in dead[:AT_ONCE]:
            assert row.claimed_at is not None
            assert row.claimed_by is not None
            claim = Claim(row.id, row.local_year, row.attempt, row.claimed_by)
            self._log(claim, Outcome.UNKNOWN, row.claimed_at, 0.0, None, "no record of its end")
            spent = row.attempt - row.attempt_base >= attempts
            status = Status.UNKNOWN if hold else Status.FAILED if spent else Status.RETRYING
            reason = "its node died, or lost it, while sending it"
            if self._was_accepted(row):
                status, reason = Status.SENT, "accepted by an earlier attempt"
            moved = self._end_attempt(row, status, reason=reason)
            freed.append(Moved(row.id, moved.status, row.occasion, row.attempt))
        return freed

    async def take_back_lost(self, *, queued_for: timedelta) -> int:
        before = self._truth.now() - self._truth.business(queued_for.total_seconds())
        lost = [row for row in self._truth.in_state(Status.QUEUED) if self._since(row.queued_at, before)]
        lost = sorted(lost, key=lambda row: row.queued_at or before)[:AT_ONCE]
        for row in lost:
            self._truth.move(row, status=_before_queued(row), reason="taken back: it had been queued for too long")
        return len(lost)

    def _since(self, at: datetime | None, before: datetime) -> bool:
        """Whether it has been so since before that instant, or since a future that the clock was set back from."""
        return at is not None and (at < before or at > self._truth.now() + timedelta(seconds=1))

    async def unburied(self) -> list[UUID]:
        failed = self._truth.in_state(Status.FAILED)
        return [row.id for row in failed if row.buried_at is None][:UNBURIED_AT_ONCE]

    async def buried(self, ids: Sequence[UUID]) -> None:
        for row in self._truth.named(ids, Status.FAILED):
            self._truth.move(row, buried_at=row.buried_at or self._truth.now())

    async def redrive(self, ids: Sequence[UUID]) -> list[UUID]:
        now = self._truth.now()
        ended = [row for row in self._truth.named(ids, *REDRIVABLE) if self._truth.user(row.user_id) is not None]
        for row in ended:
            self._truth.move(
                row,
                status=Status.SCHEDULED,
                due_at=max(now, row.send_at),
                redriven_at=now,
                attempt_base=row.attempt,
                ended_at=None,
                buried_at=None,
                reason="redriven",
            )
        return [row.id for row in ended]

    async def open_by_status(self) -> dict[Status, int]:
        return dict(Counter(row.status for row in self._truth.in_state(*_WAITING, *_UNDER_WAY, Status.UNKNOWN)))

    async def oldest_due_age(self) -> float:
        now = self._truth.now()
        waiting = [row.due_at for row in self._truth.in_state(*_WAITING) if row.due_at <= now]
        held = self._truth.in_state(*_WAITING, Status.QUEUED)
        put_off = [_due_since(row) for row in held if row.due_at > _due_since(row)]
        # Of what is queued and was not put off, only the one that was queued first is looked at: it was due first.
        queued = sorted(self._truth.in_state(Status.QUEUED), key=lambda row: row.queued_at or now)
        sending = [_due_since(row) for row in self._truth.in_state(Status.SENDING)]
        oldest = min([*waiting, *put_off, *(row.due_at for row in queued[:1]), *sending], default=now)
        return max(0.0, (now - oldest).total_seconds())

    def _end_attempt(
        self,
        row: MessageRow,
        status: Status,
        *,
        reason: str | None,
        delay: timedelta = timedelta(),
        attempt: int | None = None,
    ) -> MessageRow:
        now, again, send_at, timezone = self._truth.now(), status is Status.RETRYING, row.send_at, row.timezone
        if again and row.moved_to is not None:
            # Its user was edited meanwhile: it goes where the edit wants it, not to another attempt for the day before.
            reason, timezone = "the user was edited while it was being sent", self._zone(row)
            status = Status.CANCELLED if isinstance(row.moved_to, Nowhere) else Status.SCHEDULED
            send_at = row.send_at if isinstance(row.moved_to, Nowhere) else row.moved_to
        return self._truth.move(
            row,
            status=status,
            attempt=row.attempt if attempt is None else attempt,
            timezone=timezone,
            send_at=send_at,
            # The clock may have jumped back since the claim: a retry is still never due before the instant.
            due_at=max(now + delay, send_at) if again else row.due_at,
            ended_at=now if status in ENDED else None,
            claimed_by=None,
            moved_to=None,
            reason=reason,
        )

    def _zone(self, row: MessageRow) -> str:
        return self._truth.users[row.user_id].profile.timezone

    def _log(
        self,
        claim: Claim,
        outcome: Outcome,
        started_at: datetime,
        duration: float,
        status_code: int | None,
        error: str | None,
    ) -> None:
        self._truth.log_attempt(
            AttemptRow(
                message_id=claim.id,
                local_year=claim.local_year,
                number=claim.attempt,
                outcome=outcome,
                incarnation=claim.incarnation,
                started_at=started_at,
                duration=duration,
                status_code=status_code,
                error=error,
                recorded_at=self._truth.now(),
            )
        )


def _due_since(row: MessageRow) -> datetime:
    return max(row.send_at, row.redriven_at or row.send_at)


def _before_queued(row: MessageRow) -> Status:
    return Status.RETRYING if row.attempt > row.attempt_base else Status.SCHEDULED


def _interval(length: timedelta) -> str:
    """As PostgreSQL writes one: `2 days`, `1 day 12:00:00`."""
    rest = timedelta(seconds=length.seconds, microseconds=length.microseconds)
    days = f"{length.days} day{'' if length.days == 1 else 's'}" if length.days else ""
    return f"{days} {str(rest).zfill(8) if rest or not days else ''}".strip()
