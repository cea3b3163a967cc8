"""The live figures of a day, from the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from actors.commands.demo.days import Day
from service.adapters.postgres.connection import Database
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.queries import load
from service.domain.messages import Outcome

_SQL = load("figures.sql", __package__)

NEVER = datetime.min.replace(tzinfo=UTC)
"""Nothing is planned."""

LATEST = 30
"""Number of latest greetings that are read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of messages by state. `retried` counts sent messages with more than one attempt."""

    waiting: int = 0
    leaving: int = 0
    retrying: int = 0
    sent: int = 0
    lost: int = 0
    retried: int = 0

    @property
    def planned(self) -> int:
        """All messages."""
        return self.open + self.sent + self.lost

    @property
    def open(self) -> int:
        """Messages that have not ended."""
        return self.waiting + self.leaving + self.retrying

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in Counts.__slots__))


@dataclass(frozen=True, slots=True)
class Left:
    """A sent greeting. `at` is the begin of its accepted attempt."""

    at: datetime
    timezone: str
    city: str
    full_name: str
    occasion: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a day. `attempts` counts those of this run by outcome. `users` is the number of users.

    All messages before `planned_until` are planned.
    """

    by_zone: dict[str, Counts] = field(default_factory=dict)
    attempts: dict[Outcome, int] = field(default_factory=dict)
    latest: tuple[Left, ...] = ()
    users: int = 0
    planned_until: datetime = NEVER

    @property
    def total(self) -> Counts:
        """The sum over all zones."""
        return sum(self.by_zone.values(), Counts())

    def is_settled(self, day: Day) -> bool:
        """True when the day is planned whole, and each of its messages has ended."""
        return self.planned_until >= day.end and not self.total.open

    def of(self, outcome: Outcome) -> int:
        """Number of attempts with this outcome."""
        return self.attempts.get(outcome, 0)


async def read_figures(database: Database, day: Day, *, since: datetime) -> Figures:
    """Read the figures of the day, with the attempts begun after `since`. Raises Unavailable."""
    zones = await database.fetch(_SQL.by_zone, day.start, day.end)
    attempts = await database.fetch(_SQL.attempts, since)
    latest = await database.fetch(_SQL.latest, LATEST)
    return Figures(
        {row["timezone"]: Counts(*(row[name] for name in Counts.__slots__)) for row in zones},
        {Outcome(row["outcome"]): row["count"] for row in attempts},
        tuple(Left(*(row[name] for name in Left.__slots__)) for row in latest),
        await count_users(database),
        (await PostgresPlanning(database).planned()).complete,
    )


async def count_users(database: Database) -> int:
    """Count all users that have ever signed up. Raises Unavailable."""
    count: int = await database.value(_SQL.count_users)
    return count
