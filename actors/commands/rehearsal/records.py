"""Reads the records of a period from the database, for the verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import Status

_SQL = load("records.sql", __package__)


@dataclass(frozen=True, slots=True)
class Work:
    """A message with the number of its attempts by outcome. An instant is None without such an attempt."""

    id: UUID
    status: Status
    send_at: datetime
    accepted: int = 0
    refused: int = 0
    rejected: int = 0
    unknown: int = 0
    first_began: datetime | None = None
    accepted_began: datetime | None = None

    @property
    def attempts(self) -> int:
        """The number of attempts."""
        return self.accepted + self.refused + self.rejected + self.unknown


@dataclass(frozen=True, slots=True)
class DueGreeting:
    """A greeting that is due by the calendar."""

    user_id: UUID
    occasion: str
    local_year: int


async def read_work(database: Database, since: datetime, until: datetime) -> list[Work]:
    """Read the messages due from `since` to before `until`, or still open, earliest first. Raises Unavailable."""
    names = Work.__slots__
    return [
        Work(row["id"], Status(row["status"]), *(row[name] for name in names[2:]))
        for row in await database.fetch(_SQL.work, since, until)
    ]


async def count_unplanned(database: Database, due: Collection[DueGreeting]) -> int:
    """Count the greetings that have no message. Raises Unavailable."""
    columns = [[one.user_id for one in due], [one.occasion for one in due], [one.local_year for one in due]]
    count: int = await database.value(_SQL.unplanned, *columns)
    return count


async def read_tried(database: Database, keys: Iterable[UUID]) -> set[UUID]:
    """The keys that are ids of messages with at least one attempt. Raises Unavailable."""
    return {row["id"] for row in await database.fetch(_SQL.on_record, list(keys))}
