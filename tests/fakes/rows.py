"""The rows of PostgreSQL as values: one that breaks a CHECK of schema/ cannot be made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from service.domain.messages import Outcome, Status
from service.domain.users import Profile

ENDED = frozenset({Status.SENT, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN})
"""The states that are ends."""

_TRIED = frozenset({Status.SENDING, Status.SENT, Status.FAILED, Status.UNKNOWN})


class Nowhere(Enum):
    """PostgreSQL's `infinity` in moved_to: the user is not to be greeted any more."""

    NOWHERE = "infinity"


class Violation(Exception):
    """PostgreSQL would refuse this: a constraint says no. It is a bug, never an outage."""


def check(constraint: str, *, holds: bool) -> None:
    """Raise Violation, by the constraint's name, unless it holds."""
    if not holds:
        raise Violation(constraint)


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
    attempt_base: int = 0
    queued_at: datetime | None = None
    queued_by: int | None = None
    claimed_at: datetime | None = None
    claimed_by: int | None = None
    ended_at: datetime | None = None
    redriven_at: datetime | None = None
    buried_at: datetime | None = None
    reason: str | None = None
    moved_to: datetime | Nowhere | None = None
    """Where an edit wants it while it is being sent, should the attempt not succeed."""

    def __post_init__(self) -> None:
        was_queued = self.queued_at is not None and self.queued_by is not None
        check("messages_sending_has_owner", holds=(self.status is Status.SENDING) == (self.claimed_by is not None))
        check("messages_ended", holds=(self.status in ENDED) == (self.ended_at is not None))
        check("messages_queued_when", holds=self.status is not Status.QUEUED or was_queued)
        check("messages_tried", holds=self.attempt > 0 or self.status not in _TRIED)
        check("messages_attempts", holds=self.attempt >= self.attempt_base >= 0)
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

    def __post_init__(self) -> None:
        check("attempts_number_check", holds=self.number > 0)
        check("attempts_duration_check", holds=self.duration >= 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A row of `nodes`."""

    incarnation: int
    node: str
    tzdata: str | None = None
    beat: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """A row of `idempotency_keys`; `answer` is status, headers and body, or None while it is being worked on."""

    fingerprint: bytes
    started_at: datetime
    answer: tuple[int, dict[str, str], bytes] | None = None
    resource: str | None = None
