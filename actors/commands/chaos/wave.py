"""The wave: users in many time zones who are all due at one instant. They sign up through the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from uuid import UUID

import aiohttp
import orjson

from actors.commands.rehearsal.records import DueGreeting
from service.domain.calendar import LeapDay, occurrence
from service.domain.zones import zone, zone_names

DAYS_AHEAD = 5
"""Days from today to the wave. The business clock only moves forward."""

OCCASIONS = {"birthday": "birthdayDate", "anniversary": "anniversaryDate"}

BORN = 1988
"""A leap year, so that 29 February exists."""

IMPORT_TIMEOUT = 120.0
"""Seconds for an import. 5,000 users take about one."""


class NotSignedUp(Exception):
    """The API did not accept the users of the wave."""


@dataclass(frozen=True, slots=True)
class Wave:
    """`greetings` users, in the `zones` where it is the hour of sending at `due`."""

    due: datetime
    zones: tuple[str, ...]
    greetings: int

    def people(self, first: int, end: int) -> Iterator[bytes]:
        """Yield the users with numbers from `first` to before `end`, each as a line of NDJSON."""
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

    def due_of(self, number: int, user_id: UUID) -> DueGreeting:
        """The greeting that is due to the user of this number by the calendar."""
        timezone = self.zones[number % len(self.zones)]
        year = self.due.astimezone(zone(timezone)).year
        return DueGreeting(user_id, tuple(OCCASIONS)[number % 2], year)


def choose(today: datetime, greetings: int, chance: Random, *, at: time, leap_day: LeapDay) -> Wave:
    """Choose a wave some days after `today`, at an hour that at least five zones share."""
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


async def sign_up(session: aiohttp.ClientSession, wave: Wave, first: int, end: int) -> list[DueGreeting]:
    """Sign up these users of the wave. Returns the greetings that are due to them. Raises as `sign_up_lines`."""
    ids = await sign_up_lines(session, b"".join(wave.people(first, end)), end - first)
    return [wave.due_of(first + place, user) for place, user in enumerate(ids)]


async def sign_up_people(session: aiohttp.ClientSession, people: Sequence[Mapping[str, str]]) -> list[UUID]:
    """Sign up these users, and return their ids. Raises as `sign_up_lines`."""
    return await sign_up_lines(session, b"".join(orjson.dumps(one) + b"\n" for one in people), len(people))


async def sign_up_lines(session: aiohttp.ClientSession, lines: bytes, expected: int) -> list[UUID]:
    """Send lines of NDJSON to `POST /users:import`, and return the ids in their order.

    Raises NotSignedUp if a user is refused, and the exceptions of aiohttp.
    """
    timeout = aiohttp.ClientTimeout(total=IMPORT_TIMEOUT)
    async with session.post(
        "/api/v1/users:import", data=lines, headers={"Content-Type": "application/x-ndjson"}, timeout=timeout
    ) as response:
        text = await response.text()
    if response.status != 200:
        raise NotSignedUp(f"POST /api/v1/users:import answered {response.status}: {text[:300]}")
    rows = [orjson.loads(line) for line in text.splitlines()]
    if refused := [row for row in rows if row.get("status") != 201]:
        raise NotSignedUp(f"{len(refused)} users were refused, the first with {refused[0]}")
    if len(rows) != expected:
        raise NotSignedUp(f"{expected} users were sent, but the answer has {len(rows)} lines")
    return [UUID(row["id"]) for row in sorted(rows, key=lambda row: int(row["line"]))]


def _is_due(timezone: str, due: datetime, at: time, leap_day: LeapDay) -> bool:
    if timezone == "Factory":
        return False
    day = due.astimezone(zone(timezone)).date()
    return occurrence(day.replace(year=BORN), timezone, day.year, at=at, leap_day=leap_day).send_at == due
