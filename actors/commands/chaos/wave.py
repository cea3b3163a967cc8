"""The wave: people in many time zones, all of whom are due at one instant, signed up through the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from uuid import UUID

import aiohttp
import orjson

from actors.rehearsal.records import Due
from service.domain.calendar import LeapDay, occurrence
from service.domain.zones import zone, zone_names

DAYS_AHEAD = 5
"""From today to the day of the wave: the business clock is moved forward only."""

OCCASIONS = {"birthday": "birthdayDate", "anniversary": "anniversaryDate"}

BORN = 1988
"""A leap year, so that every day can be somebody's."""

IMPORT_WITHIN = 120.0
"""Seconds for an import; 5,000 people take about one."""


class NotSignedUp(Exception):
    """The API did not take the people of the wave."""


@dataclass(frozen=True, slots=True)
class Wave:
    """`greetings` people, in the `zones` in which it is the time of greetings at `due`."""

    due: datetime
    zones: tuple[str, ...]
    greetings: int

    def people(self, first: int, end: int) -> Iterator[bytes]:
        """Those numbered from `first` to before `end`, a line of NDJSON each."""
        for number in range(first, end):
            timezone = self.zones[number % len(self.zones)]
            day = self.due.astimezone(zone(timezone)).date()
            field = tuple(OCCASIONS.values())[number % 2]
            person = {
                "firstName": "Person",
                "lastName": f"No {number + 1}",
                "email": f"person.{number + 1}@example.com",
                "timezone": timezone,
                field: day.replace(year=BORN).isoformat(),
            }
            yield orjson.dumps(person) + b"\n"

    def due_of(self, number: int, user_id: UUID) -> Due:
        """What the calendar says of the person of that number."""
        timezone = self.zones[number % len(self.zones)]
        year = self.due.astimezone(zone(timezone)).year
        return Due(user_id, tuple(OCCASIONS)[number % 2], year)


def choose(today: datetime, greetings: int, chance: Random, *, at: time, leap_day: LeapDay) -> Wave:
    """A wave some days after `today`, at an hour of the day for which there are several zones."""
    midnight = today.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=DAYS_AHEAD)
    hours = list(range(24))
    chance.shuffle(hours)
    found = []
    for hour in hours:
        due = midnight + timedelta(hours=hour, minutes=at.minute, seconds=at.second)
        found = [name for name in sorted(zone_names()) if _is_due(name, due, at, leap_day)]
        if len(found) >= 5:
            break
    return Wave(due, tuple(found), greetings)


async def sign_up(session: aiohttp.ClientSession, wave: Wave, first: int, end: int) -> list[Due]:
    """Sign up those people through `POST /users:import`; returns what is due to them.

    Raises NotSignedUp, and what aiohttp raises.
    """
    timeout = aiohttp.ClientTimeout(total=IMPORT_WITHIN)
    async with session.post(
        "/api/v1/users:import",
        data=b"".join(wave.people(first, end)),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=timeout,
    ) as response:
        text = await response.text()
    if response.status != 200:
        raise NotSignedUp(f"POST /api/v1/users:import answered {response.status}: {text[:300]}")
    rows = [orjson.loads(line) for line in text.splitlines()]
    if refused := [row for row in rows if row.get("status") != 201]:
        raise NotSignedUp(f"{len(refused)} people were refused, the first with {refused[0]}")
    if len(rows) != end - first:
        raise NotSignedUp(f"{end - first} people were sent, and {len(rows)} answered for")
    return [wave.due_of(first + row["line"] - 1, UUID(row["id"])) for row in rows]


def _is_due(timezone: str, due: datetime, at: time, leap_day: LeapDay) -> bool:
    if timezone == "Factory":
        return False
    day = due.astimezone(zone(timezone)).date()
    return occurrence(day.replace(year=BORN), timezone, day.year, at=at, leap_day=leap_day).send_at == due
