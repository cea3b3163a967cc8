"""The rows of messages, for reading."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service.domain.messages import EmailServiceName, Outcome, Status


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its row has it.

    `service` is the email service that it was claimed for last. Of a sent message it is the one that took it.
    """

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
    status_reason: str | None
    service: EmailServiceName | None = None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """A recorded attempt. `duration` is in seconds. `node` is None if the row of that node was deleted.

    `provider_id` is the email service's own id of the message, if its answer had one.
    """

    number: int
    node: str | None
    outcome: Outcome
    started_at: datetime
    duration: float
    status_code: int | None
    error: str | None
    recorded_at: datetime
    provider_id: str | None
    service: EmailServiceName = EmailServiceName.PRIMARY


@dataclass(frozen=True, slots=True)
class Timeline:
    """A message with everything that is on record about its way; `has_user`: its user is not deleted.

    `text_version` is the version of the occasion's text that was claimed last.
    """

    message: Message
    queued_at: datetime | None
    queued_node: str | None
    claimed_at: datetime | None
    claimed_node: str | None
    has_user: bool
    has_active_occasion: bool
    attempts: tuple[PastAttempt, ...]
    text_version: int | None = None


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Selects messages: None, or no status, leaves a filter out.

    `since` and `until` bound send_at, the second exclusively. `email` is the address of a user who is not deleted.
    `timezones` are those that messages were planned for. `ids` are those of messages.
    """

    user_id: UUID | None = None
    statuses: tuple[Status, ...] = ()
    occasion: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    email: str | None = None
    timezones: tuple[str, ...] = ()
    ids: tuple[UUID, ...] = ()


class History(Protocol):
    """Reads messages and their attempts. Every method raises Unavailable."""

    async def page(
        self, wanted: MessageFilter, *, after: UUID | None, limit: int, newest_first: bool = False
    ) -> list[Message]:
        """Messages in the order of their ids, or in the opposite one, those after `after`."""

    async def count(self, wanted: MessageFilter) -> int | None:
        """The number of messages. None if no index gives it at a bounded cost."""

    async def knows_user(self, user_id: UUID) -> bool:
        """True if there is or was such a user; deleted and erased ones count."""

    async def timeline(self, message_id: UUID) -> Timeline | None:
        """One message with its timeline, or None if there is none."""

    async def redrivable(
        self, wanted: MessageFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[tuple[datetime, UUID]]:
        """Up to `limit` messages that may be redriven, by instant and id, oldest first, those after `after`.

        Their users are not deleted, and their occasions are active.
        """

    async def count_redrivable(self, wanted: MessageFilter) -> int:
        """Return the number of those messages."""
