"""What a restored database thinks is still to be sent, and how that is settled, or held back for a person."""

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
    """A database that was restored from a backup, before anybody works with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, at: datetime) -> list[DueNow]:
        """What was due at that instant and is unsent, by state. Raises Unavailable."""
        rows = await self._database.fetch(_SQL.due, at)
        return [DueNow(Status(row["status"]), row["count"], row["oldest"], row["newest"]) for row in rows]

    async def page(self, at: datetime, *, after: UUID | None, limit: int) -> list[tuple[UUID, date]]:
        """Ids and days of those, in the order of their ids. Raises Unavailable."""
        rows = await self._database.fetch(_SQL.due_ids, at, after, limit)
        return [(row["id"], row["send_at"].date()) for row in rows]

    async def hold(self, ids: Sequence[UUID], *, incarnation: int, reason: str) -> int:
        """Let those that are unsent wait for a person in state unknown. Returns how many. Raises Unavailable."""
        return await self._conclude(ids, incarnation, reason, Status.UNKNOWN, Outcome.UNKNOWN)

    async def settle(self, ids: Sequence[UUID], *, incarnation: int, reason: str) -> int:
        """Record those that are unsent as sent, by an accepted attempt. Returns how many. Raises Unavailable."""
        return await self._conclude(ids, incarnation, reason, Status.SENT, Outcome.ACCEPTED)

    async def _conclude(
        self, ids: Sequence[UUID], incarnation: int, reason: str, status: Status, outcome: Outcome
    ) -> int:
        return len(await self._database.fetch(_SQL.conclude, ids, incarnation, reason, status, outcome))
