"""Messages that are unsent in a restored database: read, held for a person, or recorded as sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import Outcome, Status

_SQL = load("restored.sql")


@dataclass(frozen=True, slots=True)
class DueNow:
    """Messages of one state that are due, and the instants of the first and the last."""

    status: Status
    count: int
    oldest: datetime
    newest: datetime


class PostgresRestored:
    """A database that was restored from a backup, before nodes work with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, at: datetime) -> list[DueNow]:
        """Messages that were due at that instant and are unsent, by state. Raises Unavailable."""
        rows = await self._database.fetch(_SQL.due, at)
        return [DueNow(Status(row["status"]), row["count"], row["oldest"], row["newest"]) for row in rows]

    async def page(self, at: datetime, *, after: UUID | None, limit: int) -> list[tuple[UUID, date]]:
        """Ids and days of these messages, in the order of their ids. Raises Unavailable."""
        rows = await self._database.fetch(_SQL.due_ids, at, after, limit)
        return [(row["id"], row["send_at"].date()) for row in rows]

    async def hold(self, ids: Sequence[UUID], *, incarnation: int, reason: str) -> int:
        """Move the unsent messages to unknown, where they wait for an operator.

        Returns their number. Raises Unavailable.
        """
        return await self._conclude(ids, incarnation, reason, Status.UNKNOWN, Outcome.UNKNOWN)

    async def settle(self, ids: Sequence[UUID], *, incarnation: int, reason: str) -> int:
        """Record the unsent messages as sent, by an accepted attempt. Returns their number. Raises Unavailable."""
        return await self._conclude(ids, incarnation, reason, Status.SENT, Outcome.ACCEPTED)

    async def _conclude(
        self, ids: Sequence[UUID], incarnation: int, reason: str, status: Status, outcome: Outcome
    ) -> int:
        return len(await self._database.fetch(_SQL.conclude, ids, incarnation, reason, status, outcome))
