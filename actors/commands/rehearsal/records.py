"""What is on record about the work of a time: the material of the verdict."""

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
    """A message with what its attempts came to; an instant is None where there was no such attempt."""

    id: UUID
    status: Status
    send_at: datetime
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    first_began: datetime | None = None
    accepted_began: datetime | None = None

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.accepted + self.rejected + self.unknown


@dataclass(frozen=True, slots=True)
class Due:
    """A greeting that is due by the calendar alone."""

    user_id: UUID
    occasion: str
    local_year: int


async def read_work(database: Database, since: datetime, until: datetime) -> list[Work]:
    """Every message due from `since` to before `until`, or left open before, earliest first. Raises Unavailable."""
    names = Work.__slots__
    return [
        Work(row["id"], Status(row["status"]), *(row[name] for name in names[2:]))
        for row in await database.fetch(_SQL.work, since, until)
    ]


async def count_unplanned(database: Database, due: Collection[Due]) -> int:
    """How many of these have no message. Raises Unavailable."""
    columns = [[one.user_id for one in due], [one.occasion for one in due], [one.local_year for one in due]]
    count: int = await database.value(_SQL.unplanned, *columns)
    return count


async def read_tried(database: Database, keys: Iterable[UUID]) -> set[UUID]:
    """Those of the keys that are messages which were tried. Raises Unavailable."""
    return {row["id"] for row in await database.fetch(_SQL.on_record, list(keys))}
