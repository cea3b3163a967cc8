"""What became of messages, for people to read: pages, one with its whole timeline, and what may be redriven."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import Outcome, Status
from service.ports import Message, MessageFilter, PastAttempt, Timeline

_SQL = load("history.sql")


class PostgresHistory:
    """Implements `service.ports.History`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: MessageFilter, *, after: UUID | None, limit: int) -> list[Message]:
        rows = await self._database.fetch(
            _SQL.page, after, wanted.user_id, wanted.status, wanted.occasion, wanted.since, wanted.until, limit
        )
        return [message_of(row) for row in rows]

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
                )
                for attempt in attempts
            ),
        )

    async def redrivable(self, wanted: MessageFilter, *, limit: int) -> list[UUID]:
        rows = await self._database.fetch(
            _SQL.redrivable, wanted.status, wanted.occasion, wanted.since, wanted.until, limit
        )
        return [row["id"] for row in rows]

    async def count_redrivable(self, wanted: MessageFilter) -> int:
        return int(
            await self._database.value(
                _SQL.count_redrivable, wanted.status, wanted.occasion, wanted.since, wanted.until
            )
        )


def message_of(row: asyncpg.Record) -> Message:
    """What a row with the columns of a message says."""
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
        reason=row["reason"],
    )
