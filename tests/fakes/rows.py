"""The rows of PostgreSQL as values. A row that violates a CHECK of schema/ cannot be made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from enum import Enum
from uuid import UUID

from service.domain.messages import EmailServiceName, Outcome, Status
from service.domain.occasions import Occasion, StoredOccasion
from service.domain.suppressions import SuppressionReason
from service.domain.users import Profile

ENDED = frozenset({Status.SENT, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN})
"""The states that are ends."""

_TRIED = frozenset({Status.SENDING, Status.SENT, Status.FAILED, Status.UNKNOWN})


class Nowhere(Enum):
    """PostgreSQL's `infinity` in reschedule_to: the message is to be cancelled."""

    NOWHERE = "infinity"


class Violation(Exception):
    """PostgreSQL would refuse this by a constraint. It is a bug, never an outage."""


def check(constraint: str, *, holds: bool) -> None:
    """Raise Violation with the constraint's name, unless it holds."""
    if not holds:
        raise Violation(constraint)


@dataclass(frozen=True, slots=True, kw_only=True)
class OccasionRecord:
    """A row of `occasions`. `occasion` has the texts and rules; the trigger counts the versions."""

    occasion: Occasion
    version: int = 1
    text_version: int = 1
    active_since: datetime | None = None
    rules_version: int = 0
    rules_changed_at: datetime | None = None
    replan_offsets: tuple[int, ...] = (0,)
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def stored(self) -> StoredOccasion:
        """The columns that planning reads."""
        one = self.occasion
        return StoredOccasion(
            one.code,
            one.default.template(None),
            None if one.send_at is None else one.send_at.isoformat(),
            one.leap_day,
            one.weekend,
            one.offset_days,
            one.active,
            self.active_since,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A row of `users` with its `occasion_dates`, which are the dates of the profile."""

    id: UUID
    profile: Profile
    email_key: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """A row of `messages`, column by column."""

    id: UUID
    user_id: UUID
    occasion: str
    local_year: int
    timezone: str
    send_at: datetime
    due_at: datetime
    tzdata: str
    planned_at: datetime
    status: Status = Status.SCHEDULED
    attempt: int = 0
    attempts_before_redrive: int = 0
    attempts_spent: int = 0
    queued_at: datetime | None = None
    queued_by: int | None = None
    claimed_at: datetime | None = None
    claimed_by: int | None = None
    claim_token: int | None = None
    ended_at: datetime | None = None
    redriven_at: datetime | None = None
    dead_lettered_at: datetime | None = None
    status_reason: str | None = None
    text_version: int | None = None
    service: EmailServiceName | None = None
    reschedule_to: datetime | Nowhere | None = None
    """The instant that an edit has given to it while it is being sent, for the case that the attempt fails."""

    def __post_init__(self) -> None:
        was_queued = self.queued_at is not None and self.queued_by is not None
        check("messages_sending_has_owner", holds=(self.status is Status.SENDING) == (self.claimed_by is not None))
        check("messages_ended", holds=(self.status in ENDED) == (self.ended_at is not None))
        check("messages_queued_when", holds=self.status is not Status.QUEUED or was_queued)
        check("messages_tried", holds=self.attempt > 0 or self.status not in _TRIED)
        check("messages_attempts", holds=self.attempt >= self.attempts_before_redrive >= 0)
        check("messages_never_early", holds=self.due_at >= self.send_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """A row of `attempts`; `duration` is in seconds."""

    message_id: UUID
    local_year: int
    number: int
    outcome: Outcome
    incarnation: int
    started_at: datetime
    duration: float
    status_code: int | None
    error: str | None
    recorded_at: datetime
    provider_id: str | None = None
    service: EmailServiceName = EmailServiceName.PRIMARY
    in_doubt: bool = False

    def __post_init__(self) -> None:
        check("attempts_number_check", holds=self.number > 0)
        check("attempts_duration_check", holds=self.duration >= 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRow:
    """A row of `suppressions`."""

    id: UUID
    address_hash: bytes
    email: str | None
    reason: SuppressionReason
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A row of `nodes`."""

    incarnation: int
    node: str
    tzdata: str | None = None
    send_at: time | None = None
    leap_day: str | None = None
    heartbeat: int = 0
    ended: bool = False
