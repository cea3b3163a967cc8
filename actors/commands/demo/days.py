"""A day of the demo: 24 hours of business time, with the instant of 09:00 in each city."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from actors.commands.demo.cities import CITIES, City
from actors.commands.demo.options import DAY
from service.domain.calendar import occurrence
from service.domain.zones import zone


@dataclass(frozen=True)  # no slots: `nines` is cached
class Day:
    """The day with this number since the start of the demo. `start` is an aware datetime."""

    number: int
    start: datetime

    @property
    def end(self) -> datetime:
        """The end, exclusive."""
        return self.start + DAY

    @property
    def next(self) -> Day:
        """The following day."""
        return Day(self.number + 1, self.end)

    def elapsed(self, now: datetime) -> float:
        """The share of the day that has passed, from 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / DAY))

    @cached_property
    def nines(self) -> list[tuple[datetime, City]]:
        """The instants of 09:00 with their cities, in order."""
        return sorted(((nine_after(self.start, city.timezone)[1], city) for city in CITIES), key=lambda nine: nine[0])

    def just_had(self, now: datetime) -> list[City]:
        """The cities where it was 09:00 last."""
        passed = [nine for nine, _ in self.nines if nine <= now]
        return _cities_at(self.nines, passed[-1]) if passed else []

    def have_next(self, now: datetime) -> tuple[datetime | None, list[City]]:
        """The next instant of 09:00 and its cities. None if 09:00 has passed in every city."""
        ahead = next((nine for nine, _ in self.nines if nine > now), None)
        return ahead, _cities_at(self.nines, ahead) if ahead else []


def nine_after(instant: datetime, timezone: str) -> tuple[date, datetime]:
    """The date and the instant of the next 09:00 in the zone, at `instant` or later."""
    day = instant.astimezone(zone(timezone)).date()
    while True:
        send_at = occurrence(day, timezone, day.year).send_at
        if send_at is not None and send_at >= instant:
            return day, send_at
        day += timedelta(days=1)


def _cities_at(nines: Iterable[tuple[datetime, City]], instant: datetime) -> list[City]:
    return [city for nine, city in nines if nine == instant]
