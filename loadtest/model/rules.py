"""The users who must be greeted, and the instants. Written from the promises alone; it shares no code with heyday.

Sources: docs/explanation/calendar.md and docs/explanation/guarantees.md, as a user reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LATE_LIMIT = timedelta(hours=48)
"""The default of HEYDAY_LATE_LIMIT."""

Greeting = tuple[str, str, int]
"""The address of a user, the occasion, and the local year."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user as the client of the API describes them. `days` has the date of each occasion."""

    email: str
    name: str
    zone: str
    days: dict[str, date]


@dataclass(slots=True)
class Life:
    """A user, since when they exist, and the greetings that are still to come."""

    person: Person
    created: datetime
    pending: dict[tuple[str, int], datetime] = field(default_factory=dict)


class Model:
    """Takes each edit with the business time at which it was made. `hours` is the hour of sending of each occasion."""

    def __init__(self, hours: dict[str, time]) -> None:
        self.hours = dict(hours)
        self.lives: dict[str, Life] = {}
        self.done: set[Greeting] = set()
        """Greetings that were due. There is none of the same user, occasion and year any more."""
        self.possible: set[Greeting] = set()
        """Greetings of which the promises do not say if they are sent, such as those moved too far into the past."""
        self.held: set[str | None] = set()
        """What is held: an occasion, or None for everything."""

    def create(self, person: Person, at: datetime) -> None:
        """Add a user."""
        self.lives[person.email] = Life(person, at)
        self._plan(self.lives[person.email], at)

    def change(self, person: Person, at: datetime) -> None:
        """Change the zone or dates of a user."""
        life = self.lives[person.email]
        life.person = person
        self._plan(life, at)

    def delete(self, email: str) -> None:
        """Delete a user. Nothing is sent any more."""
        del self.lives[email]
        self.possible = {one for one in self.possible if one[0] != email}

    def set_hour(self, occasion: str, hour: time, at: datetime) -> None:
        """Change the hour of sending of an occasion."""
        self.hours[occasion] = hour
        for life in self.lives.values():
            self._plan(life, at)

    def hold(self, occasion: str | None) -> None:
        """Hold an occasion, or everything."""
        self.held.add(occasion)

    def release(self, occasion: str | None) -> None:
        """Release what was held. What has become due meanwhile is sent, unless it is too late."""
        self.held.discard(occasion)

    def advance(self, now: datetime) -> set[Greeting]:
        """Return the greetings that must have been sent when it is `now`, and were not returned before."""
        found = set()
        for email, life in self.lives.items():
            for (occasion, year), due in list(life.pending.items()):
                if due > now or None in self.held or occasion in self.held:
                    continue
                del life.pending[occasion, year]
                if now - due < LATE_LIMIT:
                    found.add((email, occasion, year))
                else:
                    self.possible.add((email, occasion, year))
        self.done |= found
        return found

    def next_due(self) -> datetime | None:
        """The next instant at which a greeting is due."""
        return min((due for life in self.lives.values() for due in life.pending.values()), default=None)

    def _plan(self, life: Life, at: datetime) -> None:
        """Plan the greetings of last year, this one and the next: local years begin up to 14 hours earlier."""
        before, life.pending = life.pending, {}
        for occasion, day in life.person.days.items():
            for year in range(at.year - 1, at.year + 2):
                key = (occasion, year)
                greeting = (life.person.email, occasion, year)
                if greeting in self.done or year <= day.year:
                    continue
                due = instant(day, year, self.hours[occasion], life.person.zone)
                if due > max(at, life.created):
                    life.pending[key] = due
                elif due <= life.created:
                    # They came after it. If an edit has moved it there, the promises do not say.
                    if key in before:
                        self.possible.add(greeting)
                elif key in before and at - due < LATE_LIMIT:
                    # An edit moved it into the past, or it is held: it is sent at once.
                    life.pending[key] = due
                elif at - due < 2 * LATE_LIMIT:
                    self.possible.add(greeting)


def instant(day: date, year: int, hour: time, zone: str) -> datetime:
    """The instant of that hour on the day of that year: after a gap of the clocks, and the first of two."""
    if (day.month, day.day) == (2, 29) and not _is_leap(year):
        local = datetime.combine(date(year, 2, 28), hour)
    else:
        local = datetime.combine(day.replace(year=year), hour)
    where = ZoneInfo(zone)
    found = local.replace(tzinfo=where).astimezone(UTC)
    if found.astimezone(where).replace(tzinfo=None) == local:
        return found
    # The local time does not exist. The first instant after the gap has the later offset.
    low, high = local.replace(tzinfo=where, fold=1).astimezone(UTC), found
    after = high.astimezone(where).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(where).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
