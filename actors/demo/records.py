"""What is on record about a day, and what the calendar says of it: the material of the summary."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from actors.demo.days import Day
from actors.demo.queries import QUERIES
from service.adapters.postgres.connection import Database
from service.domain.calendar import occurrence
from service.domain.messages import Status
from service.domain.windows import days_of_interest


@dataclass(frozen=True, slots=True)
class Work:
    """A message of a day with what its attempts came to; an instant is None where there was no such attempt."""

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


async def read_work(database: Database, day: Day) -> list[Work]:
    """Every message of the day, the earliest first. Raises Unavailable."""
    rows = await database.fetch(QUERIES["work"], day.start, day.end)
    names = Work.__slots__
    return [Work(row["id"], Status(row["status"]), *(row[name] for name in names[2:])) for row in rows]


async def read_due(database: Database, day: Day) -> list[Due]:
    """What the calendar says is due on the day, whatever was planned. Raises Unavailable."""
    years: dict[int, list[int]] = {}
    for year, month_day in days_of_interest(day.start, day.end):
        years.setdefault(month_day, []).append(year)
    rows = await database.fetch(QUERIES["celebrants"], list(years))
    return [
        Due(row["id"], row["occasion"], year)
        for row in rows
        for year in years[row["date"].month * 100 + row["date"].day]
        if (send_at := occurrence(row["date"], row["timezone"], year).send_at) is not None
        and day.start <= send_at < day.end
        and row["created_at"] < send_at
    ]


async def count_unplanned(database: Database, due: Collection[Due]) -> int:
    """How many of these have no message. Raises Unavailable."""
    columns = [[one.user_id for one in due], [one.occasion for one in due], [one.local_year for one in due]]
    count: int = await database.value(QUERIES["unplanned"], *columns)
    return count


async def read_tried(database: Database, keys: Iterable[UUID]) -> set[UUID]:
    """Those of the keys that are messages which were tried. Raises Unavailable."""
    return {row["id"] for row in await database.fetch(QUERIES["on_record"], list(keys))}
