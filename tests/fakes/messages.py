"""The fake of the port `Messages`: every claim, outcome and requeue, on the rows in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.adapters.postgres.set_aside import FORGET_AFTER
from service.domain.dates import first_year
from service.domain.messages import REDRIVABLE, Answer, EmailServiceName, Outcome, Status
from service.domain.retry import FIRST, History
from service.domain.suppressions import ONLY_TO, ONLY_TO_SENTENCE, SUPPRESSED_SENTENCE, address_hash, may_write_to
from service.domain.texts import text_for
from service.ports import (
    AuditAction,
    Claim,
    Claimed,
    Claims,
    ClockReading,
    Due,
    Keep,
    Moved,
    Outstanding,
    Principal,
    Recorded,
    Result,
    RowRefused,
    SetAside,
    StaleFencingToken,
    Wave,
)
from service.ports.messages import HELD
from tests.fakes.rows import ENDED, AttemptRow, MessageRow, Nowhere, UserRow
from tests.fakes.truth import REPLANNING_HOLDS, Truth

AT_ONCE = 5_000
"""Rows that one pass of recovery moves."""

UNBURIED_AT_ONCE = 500

_WAITING = (Status.SCHEDULED, Status.RETRYING)

_UNDER_WAY = (Status.QUEUED, Status.SENDING)


class FakeMessages:
    """Implements `service.ports.Messages`. `only_to`: the addresses and @domains that may be written to; None: all."""

    def __init__(self, truth: Truth, *, only_to: Collection[str] | None = None) -> None:
        self._truth = truth
        self._only_to = only_to

    async def read_clock(self, *, next_due: bool = False) -> ClockReading:
        truth = self._truth
        waiting = (row.due_at for row in self._at_hand(*_WAITING) if next_due and not truth.is_held(row.occasion))
        return ClockReading(truth.now(), truth.real_now(), truth.rate(), min(waiting, default=None))

    async def outstanding(self, limit: int) -> Outstanding:
        return Outstanding(min(limit, len(list(self._truth.in_state(Status.QUEUED)))), self._truth.taken_back)

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        truth, now = self._truth, self._truth.now()
        if truth.fencing_tokens["ticker"] > fence:
            raise StaleFencingToken(truth.fencing_tokens["ticker"])
        replanned = {
            window.day.occasion
            for window, at in truth.plan_ranges.values()
            if window.replans and at > truth.real_now() - REPLANNING_HOLDS
        } | {
            code
            for code, row in truth.occasions.items()
            if row.rules_version > truth.replanned_version
            and row.rules_changed_at is not None
            and row.rules_changed_at > truth.real_now() - REPLANNING_HOLDS
        }
        due = sorted(
            (
                row
                for row in self._at_hand(*_WAITING)
                if row.due_at <= now and row.occasion not in replanned and not truth.is_held(row.occasion)
            ),
            key=lambda row: row.due_at,
        )
        if not due[:limit] or any(row.id not in truth.damaged for row in due[:limit]):
            # A statement that fails at its only row raises no token.
            truth.fencing_tokens["ticker"] = fence
        queued, too_late = [], []
        for row in due[:limit]:
            if _counts_from(row) < now - late_limit:
                reason = f"too late to send: more than {_interval(late_limit)} after its instant"
                in_doubt = any(one.outcome is Outcome.UNKNOWN for one in self._past(row))
                status = Status.UNKNOWN if in_doubt else Status.EXPIRED
                moved = {"status": status, "ended_at": now, "status_reason": reason}
            else:
                moved = {"status": Status.QUEUED}
            after = self._try("claim_due", row, queued_at=now, queued_by=incarnation, **moved)
            if after is not None and after.status is Status.QUEUED:
                queued.append(row.id)
            elif after is not None:
                too_late.append(Moved(row.id, after.status, row.occasion, row.attempt))
        return Due(tuple(queued), tuple(too_late))

    async def requeue(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        mine = [row for row in self._truth.named(ids, Status.QUEUED) if row.queued_by == incarnation]
        return self._try_each("requeue", ((row, {"status": _before_queued(row)}) for row in mine))

    async def requeue_claim(self, *, incarnation: int) -> int:
        of_node = [row for row in self._truth.in_state(Status.QUEUED) if row.queued_by == incarnation]
        latest = max((row.queued_at for row in of_node if row.queued_at), default=None)
        lost = [row for row in of_node if row.queued_at == latest and not self._truth.is_set_aside(row.id)]
        reason = "taken back: the claim of its ticker may be lost"
        return self._try_each(
            "requeue_claim", ((row, {"status": _before_queued(row), "status_reason": reason}) for row in lost)
        )

    async def claim_for_sending(
        self,
        ids: Sequence[UUID],
        *,
        incarnation: int,
        token: int | None = None,
        late_limit: timedelta | None = None,
        fallback: Collection[UUID] = (),
    ) -> Claims:
        truth, now = self._truth, self._truth.now()
        claimed = []
        left_out: Counter[str] = Counter()
        for row in truth.named(ids, Status.QUEUED, Status.SENDING):
            user, occasion = truth.user(row.user_id), truth.occasions.get(row.occasion)
            repeated = row.status is Status.SENDING
            if repeated and (token is None or (row.claimed_by, row.claim_token) != (incarnation, token)):
                continue
            if user is None or occasion is None or (not repeated and row.due_at > now):
                continue
            if not repeated and late_limit is not None and _counts_from(row) < now - late_limit:
                continue
            if not repeated and not occasion.occasion.active:
                continue
            verdict, left = ("", {}) if repeated else self._left_out(row, user)
            if verdict:
                left_out[verdict] += self._try("claim_for_sending", row, **left) is not None
                continue
            attempt = row.attempt if repeated else row.attempt + 1
            pinned_to = self._pinned_to(row)
            chosen = EmailServiceName.FALLBACK if row.id in fallback else EmailServiceName.PRIMARY
            service = (row.service if repeated else pinned_to or chosen) or EmailServiceName.PRIMARY
            moved = self._try(
                "claim_for_sending",
                row,
                status=Status.SENDING,
                attempt=attempt,
                claimed_by=incarnation,
                claim_token=token,
                claimed_at=now,
                text_version=occasion.text_version,
                service=service,
            )
            if moved is None:
                continue
            profile = user.profile
            _, text = text_for(occasion.occasion.default, occasion.occasion.texts, profile.locale)
            date = profile.dates.get(row.occasion)
            first = None if date is None else first_year(date)
            years = None if first is None or text.without_years is None else row.local_year - first
            claimed.append(
                Claimed(
                    Claim(row.id, row.local_year, attempt, incarnation, service, token),
                    history=self._history(row, attempt),
                    send_at=row.send_at,
                    occasion=row.occasion,
                    first_name=user.profile.first_name,
                    last_name=user.profile.last_name,
                    email=user.profile.email,
                    template=text.template(years),
                    subject=text.subject or "",
                    years=years,
                    pinned=pinned_to is not None,
                )
            )
        return Claims(claimed, left_out=+left_out)

    def _left_out(self, row: MessageRow, user: UserRow) -> tuple[str, dict[str, Any]]:
        """Why a message is not sent now, and how its row changes; an empty reason if it may be sent."""
        if self._truth.is_held(row.occasion):
            return HELD, {"status": _before_queued(row), "status_reason": "taken back: sending is held"}
        reason: str | None = self._truth.suppression_reason(address_hash(user.profile.email))
        sentence = f"{SUPPRESSED_SENTENCE}: {reason}"
        if not may_write_to(user.email_key, self._only_to):
            reason, sentence = ONLY_TO, ONLY_TO_SENTENCE
        if reason is None:
            return "", {}
        return reason, {"status": Status.CANCELLED, "ended_at": self._truth.now(), "status_reason": sentence}

    def _at_hand(self, *statuses: Status) -> Iterable[MessageRow]:
        return (row for row in self._truth.in_state(*statuses) if not self._truth.is_set_aside(row.id))

    def _try(self, action: str, row: MessageRow, **changes: Any) -> MessageRow | None:
        """Change a row; one that cannot be changed is set aside for `action`."""
        try:
            return self._truth.move(row, **changes)
        except RowRefused as refused:
            self._truth.put_aside(row.id, action, refused.reason)
            return None

    def _try_each(self, action: str, changes: Iterable[tuple[MessageRow, dict[str, Any]]]) -> int:
        return sum(self._try(action, row, **changed) is not None for row, changed in changes)

    def _pinned_to(self, row: MessageRow) -> EmailServiceName | None:
        """The service that may have taken the message at an earlier attempt, before a redrive too."""
        attempts = (one for one in self._truth.attempts.values() if one.message_id == row.id)
        doubtful = [one for one in attempts if one.outcome is Outcome.UNKNOWN or one.in_doubt]
        return min(doubtful, key=lambda one: one.number).service if doubtful else None

    def _past(self, row: MessageRow) -> list[AttemptRow]:
        """The recorded attempts since the last redrive."""
        attempts = self._truth.attempts.values()
        return [one for one in attempts if one.message_id == row.id and one.number > row.attempts_before_redrive]

    def _history(self, row: MessageRow, attempt: int) -> History:
        made = attempt - row.attempts_before_redrive - 1
        if made == 0:
            return FIRST
        now, past = self._truth.now(), [one for one in self._past(row) if one.number < attempt]
        unknown = [one.started_at for one in past if one.outcome is Outcome.UNKNOWN]
        ended = [one.started_at + self._truth.business(one.duration) for one in past]
        last_ago = (now - max(ended)) / self._truth.business(1.0) if ended else None
        return History(made, row.attempts_spent, now - min(unknown) if unknown else None, last_ago)

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        recorded = []
        began = {result.claim: self._truth.now() - self._truth.business(at - result.began) for result in results}
        for result in results:
            claim, answer = result.claim, result.answer
            # The service's answer is a fact, also when another node owns the message by now.
            if answer is not None:
                self._log(claim, answer, began[claim])
        for result in results:
            try:
                moved = self._settle(result)
            except RowRefused as refused:
                self._truth.put_aside(result.claim.id, "record", refused.reason)
                continue
            if moved is not None:
                lateness = (began[result.claim] - moved.send_at).total_seconds()
                recorded.append(Recorded(moved.id, moved.status, moved.occasion, lateness))
        return recorded

    def _settle(self, result: Result) -> MessageRow | None:
        """Return the row as the result changes it, None if it changes nothing.

        Only an owner's result or an acceptance counts.
        """
        claim, answer = result.claim, result.answer
        row = self._truth.messages.get(claim.id)
        if row is None or row.local_year != claim.local_year or row.status is Status.SENT:
            return None
        if row.status is Status.SENDING:
            if (row.claimed_by, row.attempt, row.claim_token) != (claim.incarnation, claim.attempt, claim.token):
                return None
            status, reason = result.status, answer.error if answer else result.reason
            if status is not Status.SENT and self._was_accepted(row):
                status, reason = Status.SENT, "accepted by an earlier attempt"
            # An attempt that was not made is not spent.
            attempt = row.attempt if answer or status is Status.SENT else row.attempt - 1
            spent = row.attempts_spent + (answer is not None and answer.spent)
            delay = None if answer is None and not result.delay else result.delay
            service = self._service_after(row, status, claim, answer)
            return self._end_attempt(
                row, status, reason=reason, delay=delay, attempt=attempt, spent=spent, service=service
            )
        deleted = row.status is Status.CANCELLED and self._truth.user(row.user_id) is None
        if answer is None or answer.outcome is not Outcome.ACCEPTED or deleted:
            return None
        attempt = max(row.attempt, claim.attempt)
        reason, spent = "accepted: the answer was recorded late", row.attempts_spent + answer.spent
        return self._end_attempt(row, Status.SENT, reason=reason, attempt=attempt, spent=spent, service=claim.service)

    def _service_after(
        self, row: MessageRow, status: Status, claim: Claim, answer: Answer | None
    ) -> EmailServiceName | None:
        """The service that took the message, or else the one that it was claimed for."""
        if answer is not None and answer.outcome is Outcome.ACCEPTED:
            return claim.service
        return self._took(row) or row.service if status is Status.SENT else row.service

    def _took(self, row: MessageRow) -> EmailServiceName | None:
        """The service of an accepted attempt that is on record."""
        attempts = [
            one for one in self._truth.attempts.values() if one.message_id == row.id and one.outcome is Outcome.ACCEPTED
        ]
        return min(attempts, key=lambda one: one.number).service if attempts else None

    def _was_accepted(self, row: MessageRow) -> bool:
        numbers = range(1, row.attempt + 1)
        return any((row.id, number, Outcome.ACCEPTED) in self._truth.attempts for number in numbers)

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        before = self._truth.now() - self._truth.business(seconds)
        sending = self._truth.in_state(Status.SENDING)
        return {(row.id, row.attempt) for row in sending if self._since(row.claimed_at, before)}

    async def release_claims(
        self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, hold_fallback: bool | None = None
    ) -> list[Moved]:
        sending = self._at_hand(Status.SENDING)
        dead = [row for row in sending if (row.id, row.attempt) in stuck or not self._truth.lives(row.claimed_by)]
        freed = []
        for row in dead[:AT_ONCE]:
            assert row.claimed_at is not None
            assert row.claimed_by is not None
            service = row.service or EmailServiceName.PRIMARY
            claim = Claim(row.id, row.local_year, row.attempt, row.claimed_by, service, row.claim_token)
            holds = hold_fallback if service is EmailServiceName.FALLBACK and hold_fallback is not None else hold
            status, took = Status.UNKNOWN if holds else Status.RETRYING, row.service
            reason = "its node died, or lost it, while sending it"
            if self._was_accepted(row):
                status, reason, took = Status.SENT, "accepted by an earlier attempt", self._took(row)
            try:
                moved = self._end_attempt(row, status, reason=reason, service=took)
            except RowRefused as refused:
                self._truth.put_aside(row.id, "release_claims", refused.reason)
                continue
            self._log(claim, Answer(Outcome.UNKNOWN, 0.0, error="no record of its end"), row.claimed_at)
            freed.append(Moved(row.id, moved.status, row.occasion, row.attempt, moved.service))
        return freed

    async def requeue_lost(self, *, queued_for: timedelta) -> int:
        before = self._truth.now() - self._truth.business(queued_for.total_seconds())
        lost = [row for row in self._at_hand(Status.QUEUED) if self._since(row.queued_at, before)]
        lost = sorted(lost, key=lambda row: row.queued_at or before)[:AT_ONCE]
        reason = "taken back: it had been queued for too long"
        taken_back = self._try_each(
            "requeue_lost", ((row, {"status": _before_queued(row), "status_reason": reason}) for row in lost)
        )
        self._truth.taken_back += taken_back
        return taken_back

    def _since(self, at: datetime | None, before: datetime) -> bool:
        """True if it has been so since before that instant, or since a future instant (the clock was set back)."""
        return at is not None and (at < before or at > self._truth.now() + timedelta(seconds=1))

    async def awaiting_dead_letter(self) -> list[UUID]:
        failed = self._at_hand(Status.FAILED)
        return [row.id for row in failed if row.dead_lettered_at is None][:UNBURIED_AT_ONCE]

    async def mark_dead_lettered(self, ids: Sequence[UUID]) -> None:
        failed = (row for row in self._truth.named(ids, Status.FAILED) if row.dead_lettered_at is None)
        self._try_each("mark_dead_lettered", ((row, {"dead_lettered_at": self._truth.now()}) for row in failed))

    async def redrive(self, ids: Sequence[UUID], *, by: Principal, keep: Keep | None = None) -> list[UUID]:
        if keep is not None:
            raise NotImplementedError("the fake keeps no responses")
        now = self._truth.now()
        ended = [
            row
            for row in self._truth.named(ids, *REDRIVABLE)
            if self._truth.user(row.user_id) is not None and self._truth.is_active(row.occasion)
        ]
        moved = []
        for row in ended:
            again = self._try(
                "redrive",
                row,
                status=Status.SCHEDULED,
                due_at=max(now, row.send_at),
                redriven_at=now,
                attempts_before_redrive=row.attempt,
                attempts_spent=0,
                ended_at=None,
                dead_lettered_at=None,
                status_reason="redriven",
            )
            moved += [again.id] if again is not None else []
        self._truth.record_change(by, AuditAction.MESSAGES_REDRIVEN, moved)
        return moved

    async def set_aside(self, limit: int) -> list[SetAside]:
        return sorted(self._truth.set_aside.values(), key=lambda one: one.since, reverse=True)[:limit]

    async def forget_repaired(self) -> int:
        truth = self._truth
        before = truth.now() - truth.business(FORGET_AFTER)
        ended = {row.id for row in truth.in_state(*ENDED - {Status.FAILED})}
        kept = {one.id: one for one in truth.set_aside.values() if one.look_again_at >= before and one.id not in ended}
        forgotten, truth.set_aside = len(truth.set_aside) - len(kept), kept
        return forgotten

    async def open_by_status(self) -> dict[Status, int]:
        since = self._truth.now() - timedelta(days=30)
        failed = [row for row in self._truth.in_state(Status.FAILED) if row.send_at > since]
        others = self._truth.in_state(*_WAITING, *_UNDER_WAY, Status.UNKNOWN)
        return dict(Counter(row.status for row in (*others, *failed)))

    async def oldest_due_age(self) -> float:
        now = self._truth.now()
        open_rows = [
            row for row in self._truth.in_state(*_WAITING, Status.QUEUED) if not self._truth.is_held(row.occasion)
        ]
        waiting = [row.due_at for row in open_rows if row.status in _WAITING and row.due_at <= now]
        put_off = [_due_since(row) for row in open_rows if row.due_at > _due_since(row)]
        # Of what is queued and was not put off, only the one that was queued first is looked at: it was due first.
        queued = sorted((row for row in open_rows if row.status is Status.QUEUED), key=lambda row: row.queued_at or now)
        sending = [_due_since(row) for row in self._truth.in_state(Status.SENDING)]
        oldest = min([*waiting, *put_off, *(row.due_at for row in queued[:1]), *sending], default=now)
        return max(0.0, (now - oldest).total_seconds())

    async def next_wave(self) -> Wave | None:
        now = self._truth.now()
        instants = [row.due_at for row in self._truth.in_state(Status.SCHEDULED) if row.due_at > now]
        if not instants:
            return None
        first = min(instants)
        return Wave((first - now).total_seconds(), sum(row.due_at == first for row in self._truth.in_state(*_WAITING)))

    async def oldest_snapshot_age(self) -> float:
        return 0.0  # its transactions take no time

    def _end_attempt(
        self,
        row: MessageRow,
        status: Status,
        *,
        reason: str | None,
        delay: timedelta | None = timedelta(),
        attempt: int | None = None,
        spent: int | None = None,
        service: EmailServiceName | None,
    ) -> MessageRow:
        now, again, send_at, timezone = self._truth.now(), status is Status.RETRYING, row.send_at, row.timezone
        if again and row.reschedule_to is not None:
            # Its user was edited meanwhile: it goes where the edit wants it, not to another attempt for the day before.
            reason, timezone = "the user was edited while it was being sent", self._zone(row)
            status = Status.CANCELLED if isinstance(row.reschedule_to, Nowhere) else Status.SCHEDULED
            send_at = row.send_at if isinstance(row.reschedule_to, Nowhere) else row.reschedule_to
        return self._truth.move(
            row,
            status=status,
            attempt=row.attempt if attempt is None else attempt,
            attempts_spent=row.attempts_spent if spent is None else spent,
            timezone=timezone,
            send_at=send_at,
            # The clock may have jumped back since the claim: a retry is still never due before the instant.
            due_at=max(row.due_at if delay is None else now + delay, send_at) if again else row.due_at,
            ended_at=now if status in ENDED else None,
            claimed_by=None,
            reschedule_to=None,
            status_reason=reason,
            service=service,
        )

    def _zone(self, row: MessageRow) -> str:
        return self._truth.users[row.user_id].profile.timezone

    def _log(self, claim: Claim, answer: Answer, started_at: datetime) -> None:
        self._truth.log_attempt(
            AttemptRow(
                message_id=claim.id,
                local_year=claim.local_year,
                number=claim.attempt,
                outcome=answer.outcome,
                incarnation=claim.incarnation,
                started_at=started_at,
                duration=answer.duration,
                status_code=answer.status_code,
                error=answer.error,
                recorded_at=self._truth.now(),
                provider_id=answer.provider_id,
                service=claim.service,
                in_doubt=answer.in_doubt,
            )
        )


def _due_since(row: MessageRow) -> datetime:
    return max(row.send_at, row.redriven_at or row.send_at)


def _counts_from(row: MessageRow) -> datetime:
    """The later of the instant and the redrive, from which lateness counts."""
    return max(row.redriven_at or row.send_at, row.send_at)


def _before_queued(row: MessageRow) -> Status:
    return Status.RETRYING if row.attempt > row.attempts_before_redrive else Status.SCHEDULED


def _interval(length: timedelta) -> str:
    """Format a duration like PostgreSQL: `2 days`, `1 day 12:00:00`."""
    rest = timedelta(seconds=length.seconds, microseconds=length.microseconds)
    days = f"{length.days} day{'' if length.days == 1 else 's'}" if length.days else ""
    return f"{days} {str(rest).zfill(8) if rest or not days else ''}".strip()
