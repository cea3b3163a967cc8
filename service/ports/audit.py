"""The audit log: who made which change. It has ids, and no personal data of users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from service.domain.roles import Role


class AuditAction(StrEnum):
    """A change that is recorded: every one but the creation and the edit of a user."""

    HOLD_CREATED = "hold.created"
    HOLD_RELEASED = "hold.released"
    LIMIT_CHANGED = "limit.changed"
    LIMIT_REMOVED = "limit.removed"
    OCCASION_CREATED = "occasion.created"
    OCCASION_CHANGED = "occasion.changed"
    OCCASION_DELETED = "occasion.deleted"
    OCCASION_TEST_SENT = "occasion.test_sent"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_REMOVED = "suppression.removed"
    MESSAGES_REDRIVEN = "messages.redriven"
    MESSAGES_MENDED = "messages.mended"
    USER_DELETED = "user.deleted"
    USER_ERASED = "user.erased"
    JOB_RUN = "job.run"
    DATABASE_ADOPTED = "database.adopted"
    YEAR_PRUNED = "year.pruned"

    @property
    def subject_kind(self) -> str:
        """The kind of thing that the subject's id names, such as `message`."""
        return self.value.partition(".")[0].removesuffix("s")


@dataclass(frozen=True, slots=True)
class Principal:
    """The key that makes a change, with the request; or the command line, with the user of the operating system."""

    name: str
    role: Role
    request_id: str | None = None
    os_user: str | None = None

    @property
    def author(self) -> str:
        """The name for people: that of the key, or of the user at the command line."""
        return self.os_user or self.name


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A change of one subject. Its action may be one that a later version has added."""

    id: UUID
    at: datetime
    by: Principal
    action: str
    subject_kind: str
    subject_id: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions of a listing: each is None or must hold. `since` is inclusive and `until` is exclusive."""

    action: AuditAction | None = None
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog(Protocol):
    """Entries are only ever added. Every method raises Unavailable.

    Methods of other ports that make a recorded change take its `Principal`, and record it in the transaction of the
    change. `record` is for changes that have no transaction of their own.
    """

    async def record(self, by: Principal, action: AuditAction, subjects: Sequence[str]) -> None:
        """Add an entry for each subject, which is an id, a code or a name."""

    async def page(self, wanted: AuditFilter, *, before: UUID | None, limit: int) -> list[AuditRecord]:
        """The newest entries that match, older than the entry `before`."""
