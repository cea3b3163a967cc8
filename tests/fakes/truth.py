"""PostgreSQL in memory: tables as dicts of rows that survive the death of every node.

There is no SQL here. The fake of each port makes the same moves as its adapter. Each method is one transaction: it
awaits nothing, so it happens at one instant. If it raises, nothing has changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.adapters.postgres.set_aside import FIRST_LOOK, LAST_LOOK, REASON_LENGTH
from service.domain.holds import Hold, hold_of
from service.domain.limits import LimitChange, LimitName
from service.domain.messages import Outcome, Status
from service.domain.occasions import ANNIVERSARY, BIRTHDAY, Occasion
from service.domain.planning import CalendarDefaults, PlanRange
from service.domain.suppressions import SuppressionReason
from service.ports import AuditAction, AuditRecord, Principal, RowRefused, RulesChanged, SetAside
from tests.fakes.rows import AttemptRow, MessageRow, NodeRow, OccasionRecord, SuppressionRow, UserRow, check

OCCASIONS = (ANNIVERSARY, BIRTHDAY)
"""The occasions of a new database."""


REPLANNING_HOLDS = timedelta(minutes=10)
"""The longest time for which messages of an occasion wait while they move to other instants."""


def counted_ids() -> Callable[[], UUID]:
    """Return ids that grow, as in the schema, and are the same in every run."""
    numbers = itertools.count(1)
    return lambda: UUID(int=next(numbers) | 7 << 76 | 2 << 62)


class Truth:
    """The tables. `now` is business_now(), `real_now` is clock_timestamp(), `rate` is business_rate()."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime] | None = None,
        rate: Callable[[], float] = lambda: 1.0,
        new_id: Callable[[], UUID] | None = None,
        occasions: tuple[Occasion, ...] = OCCASIONS,
    ) -> None:
        self.now = now
        self.real_now = real_now or now
        self.rate = rate
        self._new_id = new_id or counted_ids()
        year = now().year
        self.years = {year - 1, year, year + 1}
        self.occasions = {one.code: OccasionRecord(occasion=one) for one in occasions}
        self.users: dict[UUID, UserRow] = {}
        self.messages: dict[UUID, MessageRow] = {}
        self.attempts: dict[tuple[UUID, int, Outcome], AttemptRow] = {}
        self.nodes: dict[int, NodeRow] = {}
        self.planned_until = now()
        self.defaults: CalendarDefaults | None = None
        """The defaults that a node has written."""
        self.rules_version = 0
        self.replanned_version = 0
        self.replanned_at = now()
        self.rules_written_by = 0
        self.rules_written_at: datetime | None = None
        self.replaced_rules: list[str] = []
        self.defaults_were_replaced = False
        """True once nodes with other defaults have written theirs."""
        self.followed_release = ""
        """The release of the zone data that every unsent message follows at least; empty: nothing was ever planned."""
        self.plan_ranges: dict[int, tuple[PlanRange, datetime]] = {}
        """By id: the range, and when it was announced by the real clock."""
        self.job_runs: dict[tuple[str, datetime], tuple[int, datetime]] = {}
        """By job and scheduled instant: the incarnation, and when it started."""
        self.fencing_tokens = {"ticker": 0}
        self.taken_back = 0
        self.audit: list[AuditRecord] = []
        self.holds: dict[UUID, Hold] = {}
        self.limits: dict[LimitName, LimitChange] = {}
        self.suppressions: dict[tuple[bytes, SuppressionReason], SuppressionRow] = {}
        """By the hash of the address, and the reason."""
        self.damaged: set[UUID] = set()
        """The messages that no statement can change."""
        self.set_aside: dict[UUID, SetAside] = {}
        self.next_incarnation = itertools.count(1)
        self.next_range = itertools.count(1)

    def business(self, seconds: float) -> timedelta:
        """Convert seconds of real time into business time."""
        return timedelta(seconds=seconds * self.rate())

    # --- users -------------------------------------------------------------------------------------------------

    def put_user(self, row: UserRow) -> UserRow:
        """Insert a user, or replace the row of that id."""
        self.users[row.id] = row
        return row

    def new_user_id(self) -> UUID:
        """Return a new id."""
        return self._new_id()

    def user(self, user_id: UUID) -> UserRow | None:
        """The user with that id, unless deleted."""
        row = self.users.get(user_id)
        return row if row is not None and row.deleted_at is None else None

    def has_address(self, email_key: str, *, but: UUID | None = None) -> bool:
        """True if a user other than `but`, who is not deleted, has this address."""
        return any(
            row.email_key == email_key and row.deleted_at is None and row.id != but for row in self.users.values()
        )

    def has_external_id(self, external_id: str | None, *, but: UUID | None = None) -> bool:
        """True if a user other than `but`, who is not deleted, has this external id."""
        return external_id is not None and any(
            row.profile.external_id == external_id and row.deleted_at is None and row.id != but
            for row in self.users.values()
        )

    # --- messages ----------------------------------------------------------------------------------------------

    def in_state(self, *statuses: Status) -> Iterator[MessageRow]:
        """The messages in one of these states, in the order of their ids."""
        return (row for row in sorted(self.messages.values(), key=lambda row: row.id) if row.status in statuses)

    def named(self, ids: Iterable[UUID], *statuses: Status) -> Iterator[MessageRow]:
        """The messages with one of these ids in one of these states, in the order of their ids."""
        wanted = frozenset(ids)
        return (row for row in self.in_state(*statuses) if row.id in wanted)

    def find(self, user_id: UUID, occasion: str, local_year: int) -> MessageRow | None:
        """The message of a user, occasion and local year."""
        for row in self.messages.values():
            if (row.user_id, row.occasion, row.local_year) == (user_id, occasion, local_year):
                return row
        return None

    def insert_message(
        self, user: UserRow, occasion: str, local_year: int, send_at: datetime, *, due_at: datetime, tzdata: str
    ) -> bool:
        """Insert a scheduled message. Return False, and change nothing, if there is one (messages_once)."""
        check("no partition of that year", holds=local_year in self.years)
        if self.find(user.id, occasion, local_year) is not None:
            return False
        row = MessageRow(
            id=self._new_id(),
            user_id=user.id,
            occasion=occasion,
            local_year=local_year,
            timezone=user.profile.timezone,
            send_at=send_at,
            due_at=due_at,
            tzdata=tzdata,
            planned_at=self.now(),
        )
        self.messages[row.id] = row
        return True

    def move(self, row: MessageRow, **changes: Any) -> MessageRow:
        """Replace columns of a message. Raises Violation, and RowRefused when it is damaged."""
        if row.id in self.damaged:
            raise RowRefused(f"the row of message {row.id} is damaged")
        moved = self.messages[row.id] = replace(row, **changes)
        return moved

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo the changes of users, messages, ranges and the audit log when the block raises."""
        users, messages, ranges = dict(self.users), dict(self.messages), dict(self.plan_ranges)
        audit, suppressions = list(self.audit), dict(self.suppressions)
        try:
            yield
        except Exception:
            self.users, self.messages, self.plan_ranges = users, messages, ranges
            self.audit, self.suppressions = audit, suppressions
            raise

    def put_aside(self, subject: UUID, action: str, reason: str) -> None:
        """Leave a message out until the next look."""
        now, before = self.now(), self.set_aside.get(subject)
        failures, since, look = 1, now, now + self.business(FIRST_LOOK)
        if before is not None:
            left_out = self.is_set_aside(subject)
            failures, since = before.failures + (not left_out), min(before.since, now)
            wait = min(FIRST_LOOK * 2 ** min(before.failures, 30), LAST_LOOK)
            look = before.look_again_at if left_out else now + self.business(wait)
        self.set_aside[subject] = SetAside(subject, action, reason[:REASON_LENGTH], failures, since, look)

    def is_set_aside(self, subject: UUID) -> bool:
        """True when statements that select their messages leave this one out."""
        row, now = self.set_aside.get(subject), self.now()
        # Set aside in the future, or for longer than it may be: the clock was set back since.
        return (
            row is not None
            and now < row.look_again_at <= now + self.business(LAST_LOOK)
            and row.since <= now + timedelta(seconds=1)
        )

    def log_attempt(self, row: AttemptRow) -> None:
        """Append an attempt. One of the same message, number and outcome stays unchanged."""
        self.attempts.setdefault((row.message_id, row.number, row.outcome), row)

    def require_rules(self, versions: set[int | None]) -> None:
        """Raise RulesChanged unless these are the present rules; None stands for no rules."""
        if versions - {None, self.rules_version}:
            raise RulesChanged

    # --- audit -------------------------------------------------------------------------------------------------

    def record_change(self, by: Principal, action: AuditAction, subjects: Iterable[object]) -> None:
        """Add an entry to the audit log for each subject."""
        for subject in subjects:
            self.audit.append(AuditRecord(self._new_id(), self.now(), by, action, action.subject_kind, str(subject)))

    # --- suppressions ------------------------------------------------------------------------------------------

    def new_suppression_id(self) -> UUID:
        """The id of the next suppression."""
        return self._new_id()

    def suppression_reason(self, hashed: bytes) -> SuppressionReason | None:
        """The reason for which the address of that hash gets nothing, the first by the alphabet."""
        return min((reason for address, reason in self.suppressions if address == hashed), default=None)

    def forget_address(self, hashed: bytes) -> None:
        """Keep the suppressions of a user who is erased, without the address."""
        for key, row in self.suppressions.items():
            if row.address_hash == hashed:
                self.suppressions[key] = replace(row, email=None)

    # --- holds -------------------------------------------------------------------------------------------------

    def new_hold_id(self) -> UUID:
        """The id of the next hold."""
        return self._new_id()

    def put_hold(self, hold: Hold) -> None:
        """Insert a hold."""
        self.holds[hold.id] = hold

    def active_holds(self) -> list[Hold]:
        """The active holds, oldest first."""
        now = self.now()
        return [one for _, one in sorted(self.holds.items()) if one.active(now)]

    def is_held(self, occasion: str) -> bool:
        """True when messages of that occasion may not be sent."""
        return hold_of(self.active_holds(), occasion) is not None

    # --- occasions ---------------------------------------------------------------------------------------------

    def put_occasion(self, occasion: Occasion) -> OccasionRecord:
        """Insert or update an occasion, as the trigger check_occasion does."""
        now, before = self.now(), self.occasions.get(occasion.code)
        if before is None:
            self.rules_version += 1
            row = OccasionRecord(
                occasion=occasion,
                rules_version=self.rules_version,
                replan_offsets=(occasion.offset_days,),
                created_at=now,
                updated_at=now,
            )
        else:
            row = self._changed_occasion(before, occasion)
        self.occasions[occasion.code] = row
        return row

    def _changed_occasion(self, before: OccasionRecord, occasion: Occasion) -> OccasionRecord:
        old, row = before.occasion, replace(before, occasion=occasion)
        if (occasion.default, occasion.texts) != (old.default, old.texts):
            row = replace(row, text_version=before.text_version + 1)
        if _rules(occasion) != _rules(old):
            replanning = before.rules_version > self.replanned_version or any(
                window.replans and window.day.occasion == occasion.code for window, _ in self.plan_ranges.values()
            )
            offsets = {*(before.replan_offsets if replanning else (old.offset_days,)), occasion.offset_days}
            self.rules_version += 1
            row = replace(
                row,
                rules_version=self.rules_version,
                rules_changed_at=self.real_now(),
                active_since=self.now() if occasion.active and not old.active else before.active_since,
                replan_offsets=tuple(sorted(offsets)),
            )
        if occasion == old:
            return before
        return replace(row, version=before.version + 1, updated_at=self.now())

    def is_active(self, code: str) -> bool:
        """True if the occasion exists and is active."""
        return code in self.occasions and self.occasions[code].occasion.active

    def exists_since(self, user: UserRow, code: str) -> datetime:
        """The instant before which nothing is sent to a user: the later of creation and activation of the occasion."""
        since = self.occasions[code].active_since
        return user.created_at if since is None else max(user.created_at, since)

    # --- planning ----------------------------------------------------------------------------------------------

    def add_range(self, window: PlanRange) -> int:
        """Insert an open range, and return its id."""
        number = next(self.next_range)
        self.plan_ranges[number] = (window, self.real_now())
        return number

    # --- nodes -------------------------------------------------------------------------------------------------

    def lives(self, incarnation: int | None) -> bool:
        """True if that incarnation has not ended."""
        row = self.nodes.get(incarnation or 0)
        return row is not None and not row.ended


def _rules(one: Occasion) -> tuple[object, ...]:
    return one.send_at, one.leap_day, one.weekend, one.offset_days, one.active
