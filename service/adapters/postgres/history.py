"""Reads messages for people: pages, one message with its whole timeline, and the messages that may be redriven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import REDRIVABLE, UNSENT, EmailServiceName, Outcome, Status
from service.domain.users import email_key
from service.ports import Message, MessageFilter, PastAttempt, Timeline

_SQL = load("history.sql")


MAX_COUNTED = 10_000
"""Messages that are counted for a listing."""

COUNTED = REDRIVABLE | UNSENT
"""States with a partial index. The other states have too many messages to count."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Messages that ended for one reason; how many can be redriven, their instants, and one id."""

    reason: str
    messages: int
    redrivable: int
    oldest: datetime
    newest: datetime
    example: UUID


class PostgresHistory:
    """Implements `service.ports.History`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, wanted: MessageFilter, *, after: UUID | None, limit: int, newest_first: bool = False
    ) -> list[Message]:
        query = _SQL.newest if newest_first else _SQL.page
        return [message_of(row) for row in await self._database.fetch(query, after, *_filters(wanted), limit)]

    async def count(self, wanted: MessageFilter) -> int | None:
        by_user = wanted.user_id is not None or wanted.email is not None
        if not by_user and not (wanted.statuses and COUNTED.issuperset(wanted.statuses)):
            return None
        found: int = await self._database.value(_SQL.count, None, *_filters(wanted), MAX_COUNTED + 1)
        return found if found <= MAX_COUNTED else None

    async def knows_user(self, user_id: UUID) -> bool:
        return bool(await self._database.value(_SQL.knows_user, user_id))

    async def timeline(self, message_id: UUID) -> Timeline | None:
        row = await self._database.row(_SQL.message, message_id)
        if row is None:
            return None
        attempts = await self._database.fetch(_SQL.attempts, message_id, row["local_year"])
        return Timeline(
            message_of(row),
            queued_at=row["queued_at"],
            queued_node=row["queued_node"],
            claimed_at=row["claimed_at"],
            claimed_node=row["claimed_node"],
            has_user=row["has_user"],
            has_active_occasion=row["has_active_occasion"],
            text_version=row["text_version"],
            attempts=tuple(
                PastAttempt(
                    number=attempt["number"],
                    node=attempt["node"],
                    outcome=Outcome(attempt["outcome"]),
                    started_at=attempt["started_at"],
                    duration=attempt["duration"],
                    status_code=attempt["status_code"],
                    error=attempt["error"],
                    recorded_at=attempt["recorded_at"],
                    provider_id=attempt["provider_id"],
                    service=EmailServiceName(attempt["service"]),
                )
                for attempt in attempts
            ),
        )

    async def redrivable(
        self, wanted: MessageFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[tuple[datetime, UUID]]:
        send_at, message = after or (None, None)
        rows = await self._database.fetch(_SQL.redrivable, message, *_filters(wanted), limit, send_at)
        return [(row["send_at"], row["id"]) for row in rows]

    async def reasons(self, wanted: MessageFilter, *, limit: int) -> list[Reason]:
        """The reasons of the failed, unknown and expired messages that match, the most frequent first."""
        return [Reason(*row) for row in await self._database.fetch(_SQL.reasons, None, *_filters(wanted), limit)]

    async def count_redrivable(self, wanted: MessageFilter) -> int:
        return int(await self._database.value(_SQL.count_redrivable, None, *_filters(wanted)))


def message_of(row: asyncpg.Record) -> Message:
    """Build a message from a row with its columns."""
    return Message(
        id=row["id"],
        user_id=row["user_id"],
        occasion=row["occasion"],
        local_year=row["local_year"],
        timezone=row["timezone"],
        send_at=row["send_at"],
        due_at=row["due_at"],
        status=Status(row["status"]),
        attempts=row["attempt"],
        tzdata=row["tzdata"],
        planned_at=row["planned_at"],
        ended_at=row["ended_at"],
        redriven_at=row["redriven_at"],
        status_reason=row["status_reason"],
        service=None if row["service"] is None else EmailServiceName(row["service"]),
    )


def _filters(wanted: MessageFilter) -> tuple[object, ...]:
    return (
        wanted.user_id,
        list(wanted.statuses) or None,
        wanted.occasion,
        wanted.since,
        wanted.until,
        None if wanted.email is None else email_key(wanted.email),
        list(wanted.timezones) or None,
        list(wanted.ids) or None,
    )
