"""A day of the demo: 24 hours of business time in which it is 09:00 once in every city, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from actors.demo.cities import CITIES, City
from actors.demo.options import DAY
from service.domain.calendar import occurrence
from service.domain.zones import zone


@dataclass(frozen=True)  # no slots: it remembers what it has worked out
class Day:
    """The `number`-th day since the demo was started, from `start` (an aware datetime) on."""

    number: int
    start: datetime

    @property
    def end(self) -> datetime:
        """Its end, which is not part of it."""
        return self.start + DAY

    @property
    def next(self) -> Day:
        """The day after."""
        return Day(self.number + 1, self.end)

    def elapsed(self, now: datetime) -> float:
        """The part of it that has passed, from 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / DAY))

    @cached_property
    def nines(self) -> list[tuple[datetime, City]]:
        """When it is 09:00 in which city, in order."""
        return sorted(((nine_after(self.start, city.timezone)[1], city) for city in CITIES), key=lambda nine: nine[0])

    def just_had(self, now: datetime) -> list[City]:
        """The cities that had it last."""
        passed = [nine for nine, _ in self.nines if nine <= now]
        return _cities_at(self.nines, passed[-1]) if passed else []

    def have_next(self, now: datetime) -> tuple[datetime | None, list[City]]:
        """When it is 09:00 next, and where; None when it has been everywhere."""
        ahead = next((nine for nine, _ in self.nines if nine > now), None)
        return ahead, _cities_at(self.nines, ahead) if ahead else []


def nine_after(instant: datetime, timezone: str) -> tuple[date, datetime]:
    """The date on which it is 09:00 in that zone next, at `instant` or after it, and when that is."""
    day = instant.astimezone(zone(timezone)).date()
    while True:
        send_at = occurrence(day, timezone, day.year).send_at
        if send_at is not None and send_at >= instant:
            return day, send_at
        day += timedelta(days=1)


def _cities_at(nines: Iterable[tuple[datetime, City]], instant: datetime) -> list[City]:
    return [city for nine, city in nines if nine == instant]
