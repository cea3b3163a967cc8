"""The rows of messages, for those who look at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.domain.messages import Outcome, Status


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its row says."""

    id: UUID
    user_id: UUID
    occasion: str
    local_year: int
    timezone: str
    send_at: datetime
    due_at: datetime
    status: Status
    attempts: int
    tzdata: str
    planned_at: datetime
    ended_at: datetime | None
    redriven_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that is on record; `duration` is in seconds, `node` is None when that node's row is gone."""

    number: int
    node: str | None
    outcome: Outcome
    started_at: datetime
    duration: float
    status_code: int | None
    error: str | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Timeline:
    """A message with everything that is on record about its way; `has_user`: its user is not deleted."""

    message: Message
    queued_at: datetime | None
    queued_node: str | None
    claimed_at: datetime | None
    claimed_node: str | None
    has_user: bool
    attempts: tuple[PastAttempt, ...]


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages: None leaves a filter out; `since` and `until` bound send_at, the second exclusively."""

    user_id: UUID | None = None
    status: Status | None = None
    occasion: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class History(Protocol):
    """What became of messages. Every method raises Unavailable."""

    async def page(self, wanted: MessageFilter, *, after: UUID | None, limit: int) -> list[Message]:
        """Messages in the order of their ids, those after `after`."""

    async def knows_user(self, user_id: UUID) -> bool:
        """Whether there is or was such a user, deleted and erased ones included."""

    async def timeline(self, message_id: UUID) -> Timeline | None:
        """One message with its way, or None if there is none."""

    async def redrivable(self, wanted: MessageFilter, *, limit: int) -> list[UUID]:
        """Up to `limit` messages of that status, which may be redriven, of users not deleted, oldest first."""

    async def count_redrivable(self, wanted: MessageFilter) -> int:
        """How many of those there are."""
