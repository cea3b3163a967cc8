"""The live figures of a day, as its database has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from actors.demo.days import Day
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import Outcome

_SQL = load("figures.sql", __package__)

LATEST = 30
"""Greetings shown at the most."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages of a day are in which hop of their way. `retried`: of those sent, after more than one try."""

    waiting: int = 0
    leaving: int = 0
    retrying: int = 0
    sent: int = 0
    lost: int = 0
    retried: int = 0

    @property
    def planned(self) -> int:
        """All of them."""
        return self.open + self.sent + self.lost

    @property
    def open(self) -> int:
        """Those that have not come to an end."""
        return self.waiting + self.leaving + self.retrying

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in Counts.__slots__))


@dataclass(frozen=True, slots=True)
class Left:
    """A greeting that has left; `at` is when its accepted attempt began."""

    at: datetime
    timezone: str
    city: str
    full_name: str
    occasion: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How a day stands. `attempts` has all of this run by what they came to; `users` is how many there are."""

    by_zone: dict[str, Counts] = field(default_factory=dict)
    attempts: dict[Outcome, int] = field(default_factory=dict)
    latest: tuple[Left, ...] = ()
    users: int = 0

    @property
    def total(self) -> Counts:
        """Of all zones."""
        return sum(self.by_zone.values(), Counts())

    def of(self, outcome: Outcome) -> int:
        """Attempts that came to that."""
        return self.attempts.get(outcome, 0)


async def read_figures(database: Database, day: Day, *, since: datetime) -> Figures:
    """How the day stands now, with the attempts begun since then. Raises Unavailable."""
    zones = await database.fetch(_SQL.by_zone, day.start, day.end)
    attempts = await database.fetch(_SQL.attempts, since)
    latest = await database.fetch(_SQL.latest, LATEST)
    return Figures(
        {row["timezone"]: Counts(*(row[name] for name in Counts.__slots__)) for row in zones},
        {Outcome(row["outcome"]): row["count"] for row in attempts},
        tuple(Left(*(row[name] for name in Left.__slots__)) for row in latest),
        await count_users(database),
    )


async def count_users(database: Database) -> int:
    """How many people have ever signed up. Raises Unavailable."""
    count: int = await database.value(_SQL.count_users)
    return count
