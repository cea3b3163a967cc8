"""Decides which hours of a day are counted again, so that a day of many messages costs as little as one of few.

The counts of a day are kept by instant. An hour in which messages are under way changes all the time, any other one
only by people and by planning. So the first are counted again as soon as that is affordable, and of the others one
after the other. Times of counting are measured; a day that is cheap to count is always counted as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import starmap
from typing import Any

from service.api.shapes import NUMBER, Shape, has_shape
from service.domain.messages import OPEN, Status
from service.ports import MessageCount

HOURS = 24

MAX_SHARE = 0.02
"""The share of the time for which PostgreSQL counts a day that is watched, at most."""

AFFORDABLE = 0.1
"""Seconds of counting that are always affordable: `MAX_SHARE` of the five seconds between two counts."""

ACTIVE_INTERVAL, QUIET_INTERVAL = 5.0, 120.0
"""Seconds after which hours with and without messages under way are to be counted again. Where not all is affordable,
the hours that are the most intervals old come first."""

FIRST_COST = 5e-6
"""Seconds for each message, before a count of `MEASURED` messages has been measured."""

MEASURED = 1_000
"""Messages of a count from which its price for each message is taken."""

_SHAPE: Shape = {"counts": [list], "ages": [NUMBER], "instants": [NUMBER], "cost": NUMBER}
_COUNT = (NUMBER, str, str, str, int, int)
"""The counts of a day as nodes share them, and one of them."""


@dataclass(frozen=True, slots=True)
class DayCounts:
    """The messages of a day. `ages` are the seconds since each hour was counted, `instants` are the business times of
    that, `cost` is the seconds per message.
    """

    day: date
    counts: Sequence[MessageCount]
    ages: Sequence[float]
    instants: Sequence[datetime]
    cost: float = FIRST_COST

    @classmethod
    def parse(cls, day: date, content: Mapping[str, Any]) -> DayCounts:
        """The counts that a node shared. Raises ValueError, OverflowError and OSError: they cannot be read."""
        if not (
            has_shape(content, _SHAPE)
            and len(content["ages"]) == len(content["instants"]) == HOURS
            and all(
                len(one) == len(_COUNT) and all(starmap(has_shape, zip(one, _COUNT, strict=True)))
                for one in content["counts"]
            )
        ):
            raise ValueError("not the counts of a day")
        counts = [
            MessageCount(datetime.fromtimestamp(at, UTC), zone, occasion, Status(status), number, late)
            for at, zone, occasion, status, number, late in content["counts"]
        ]
        instants = [datetime.fromtimestamp(at, UTC) for at in content["instants"]]
        parsed = cls(day, counts, content["ages"], instants, content["cost"])
        if any(not 0 <= parsed._hour(one) < HOURS for one in counts):
            raise ValueError("counts of another day")
        return parsed

    def older(self, seconds: float) -> DayCounts:
        """The same counts some seconds later."""
        return replace(self, ages=[age + seconds for age in self.ages])

    def content(self) -> dict[str, object]:
        """The counts as nodes share them."""
        return {
            "counts": [
                (one.send_at.timestamp(), one.timezone, one.occasion, one.status, one.count, one.late)
                for one in self.counts
            ],
            "ages": self.ages,
            "instants": [at.timestamp() for at in self.instants],
            "cost": self.cost,
        }

    def due(self, now: datetime) -> range | None:
        """The hours to count now. None: nothing is old enough, or counting it is not affordable yet."""
        messages = [0] * HOURS
        active = set[int]()
        for one in self.counts:
            hour = self._hour(one)
            messages[hour] += one.count
            if one.status in OPEN and one.send_at <= now:
                active.add(hour)

        def price(hours: range) -> float:
            return self.cost * sum(messages[hour] for hour in hours)

        if price(range(HOURS)) <= AFFORDABLE:
            return range(HOURS)
        oldest = max(set(range(HOURS)) - active, key=lambda hour: self.ages[hour], default=None)
        chosen = range(min(active), max(active) + 1) if active else range(0)
        if oldest is not None and self.ages[oldest] / QUIET_INTERVAL >= max(1.0, self._urgency(chosen)):
            chosen = range(oldest, oldest + 1)
            while chosen.stop < HOURS and price(longer := range(oldest, chosen.stop + 1)) <= AFFORDABLE:
                chosen = longer
        return chosen if chosen and price(chosen) <= max(AFFORDABLE, MAX_SHARE * min(self.ages)) else None

    def _urgency(self, active: range) -> float:
        return max((self.ages[hour] for hour in active), default=0.0) / ACTIVE_INTERVAL

    def counted_at(self, one: MessageCount) -> datetime:
        """The business time at which the messages were counted."""
        return self.instants[self._hour(one)]

    def _hour(self, one: MessageCount) -> int:
        return int((one.send_at - window(self.day)[0]) / timedelta(hours=1))

    def counted(self, hours: range, counts: Iterable[MessageCount], now: datetime, seconds: float) -> DayCounts:
        """These counts, with those of some hours that have just been counted within `seconds`."""
        new = list(counts)
        messages = sum(one.count for one in new)
        return DayCounts(
            self.day,
            [one for one in self.counts if self._hour(one) not in hours] + new,
            [0.0 if hour in hours else age for hour, age in enumerate(self.ages)],
            [now if hour in hours else at for hour, at in enumerate(self.instants)],
            seconds / messages if messages >= MEASURED else self.cost,
        )


def nothing_counted(day: date) -> DayCounts:
    """The counts of a day of which no hour has been counted: all of it is due."""
    return DayCounts(day, [], [float("inf")] * HOURS, [datetime.min.replace(tzinfo=UTC)] * HOURS)


def window(day: date, hours: range = range(HOURS)) -> tuple[datetime, datetime]:
    """The first instant of some hours of a day in UTC, and that after the last."""
    begins = datetime.combine(day, time(), UTC)
    ends = datetime.max.replace(tzinfo=UTC) if day == date.max else begins + timedelta(hours=hours.stop)
    return begins + timedelta(hours=hours.start), ends
