"""The state that a frame of the live view shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from actors.commands.demo.cities import CITIES, City
from actors.commands.demo.days import Day
from actors.commands.demo.figures import Counts, Figures
from actors.commands.rehearsal.verdict import Verdict
from service.domain.messages import Outcome
from service.domain.zones import zone


@dataclass(frozen=True, slots=True)
class Urls:
    """The URLs of the node and of the fake email service, and the log of the node."""

    api: str
    email: str
    log: str

    def text(self) -> str:
        """One line for each."""
        return "\n".join(
            (
                f" console             {self.api}/console",
                f" API documentation   {self.api}/docs",
                f" health              {self.api}/health/detailed",
                f" metrics             {self.api}/metrics",
                f" email service       {self.email}/stats",
                f" log of the node     {self.log}",
            )
        )


@dataclass(frozen=True, slots=True)
class Service:
    """Counts of the fake email service since its start. `rate` is acceptances per second of real time."""

    calls: int = 0
    errors: int = 0
    hangs: int = 0
    cut: int = 0
    repeated: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The state of the demo. `circuit` is the state of the node's circuit. `trouble` names what does not answer."""

    day: Day
    now: datetime
    seconds_per_day: float
    figures: Figures
    service: Service
    urls: Urls
    circuit: str = "closed"
    restarts: int = 0
    trouble: str | None = None
    verdicts: tuple[tuple[Day, Verdict], ...] = ()

    @property
    def unexplained(self) -> int:
        """Estimated acceptances of a key beyond the first that no unknown outcome explains. The verdict is exact."""
        return max(0, self.service.repeated - self.figures.of(Outcome.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Row:
    """A city in the table: its local time, its 09:00 on this day, and its greetings."""

    city: City
    local: datetime
    nine: datetime
    counts: Counts = field(default_factory=Counts)

    def has_nine(self, now: datetime) -> bool:
        """True from 09:00 to 09:59 local time."""
        return 0 <= (now - self.nine).total_seconds() < 3600


def rows(scene: Scene) -> list[Row]:
    """Every city, the largest UTC offset first: the order of 09:00."""
    nines = {city.timezone: nine for nine, city in scene.day.nines}
    found = [
        Row(
            city,
            scene.now.astimezone(zone(city.timezone)),
            nines[city.timezone],
            scene.figures.by_zone.get(city.timezone, Counts()),
        )
        for city in CITIES
    ]
    return sorted(found, key=lambda row: -(row.local.utcoffset() or row.local - row.local).total_seconds())


def elsewhere(scene: Scene) -> Counts:
    """Greetings in other time zones, of users that were signed up by hand."""
    known = {city.timezone for city in CITIES}
    return sum((counts for name, counts in scene.figures.by_zone.items() if name not in known), Counts())
