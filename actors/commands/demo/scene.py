"""Everything that a frame of the live view shows, at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from actors.demo.cities import CITIES, City
from actors.demo.days import Day
from actors.demo.figures import Counts, Figures
from actors.rehearsal.verdict import Verdict
from service.domain.messages import Outcome
from service.domain.zones import zone


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the node and the fake email service listen, and where the node's log is."""

    api: str
    email: str
    log: str

    def text(self) -> str:
        """All of them, one a line."""
        return "\n".join(
            (
                f" API documentation   {self.api}/docs",
                f" health              {self.api}/health/detailed",
                f" metrics             {self.api}/metrics",
                f" email service       {self.email}/stats",
                f" log of the node     {self.log}",
            )
        )


@dataclass(frozen=True, slots=True)
class Service:
    """What the fake email service has counted since it was started. `rate`: accepted in a second of real time."""

    calls: int = 0
    errors: int = 0
    hangs: int = 0
    cut: int = 0
    repeated: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The state of the demo. `circuit` is the node's, or that it is away; `trouble` is what does not answer, if any."""

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
        """Acceptances beyond the first of a key that no attempt without an answer explains; exact in the verdict."""
        return max(0, self.service.repeated - self.figures.of(Outcome.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Row:
    """A city as a frame shows it: its clock, when it is 09:00 there on this day, and its greetings."""

    city: City
    local: datetime
    nine: datetime
    counts: Counts = field(default_factory=Counts)

    def has_nine(self, now: datetime) -> bool:
        """Whether it is nine something there."""
        return 0 <= (now - self.nine).total_seconds() < 3600


def rows(scene: Scene) -> list[Row]:
    """Every city, by how far its clock is ahead; that is the order in which it becomes 09:00."""
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
    """The greetings in other time zones: of people whom somebody else has signed up."""
    known = {city.timezone for city in CITIES}
    return sum((counts for name, counts in scene.figures.by_zone.items() if name not in known), Counts())
