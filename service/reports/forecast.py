"""Forecasts the greetings of the hours to come by minute, and the end of each wave at the allowed rate."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.domain.calendar import Rule
from service.domain.planning import OccasionDay, PlanningRules, days, occurrences
from service.ports import Planned, Previews

MOST_HOURS = 168
"""Hours that a forecast looks ahead: a week. Users' days are counted one by one."""


@dataclass(frozen=True, slots=True)
class Minute:
    """The greetings that become due within the minute that begins `at`, by occasion."""

    at: datetime
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all occasions."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Backlog:
    """The greetings that should have left: due, queued, being sent, and not yet planned."""

    due: int
    queued: int
    sending: int
    to_plan: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.due + self.queued + self.sending + self.to_plan


@dataclass(frozen=True, slots=True)
class Wave:
    """A time in which messages wait for the rate, from the first to the last, and the most that wait at once."""

    begins_at: datetime
    over_at: datetime
    messages: int
    peak: int
    peak_at: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """All of it, as of `now`; `waves` is None where no rate is set."""

    now: datetime
    until: datetime
    backlog: Backlog
    minutes: list[Minute]
    rate: float | None
    waves: list[Wave] | None


async def forecast(
    previews: Previews, rules: PlanningRules, *, hours: int, late_limit: timedelta, rate: float | None
) -> Forecast:
    """Forecast the given number of hours; `rate` is per second. Raises Unavailable."""
    ahead = timedelta(hours=hours)

    def until(planned: Planned) -> datetime:
        return planned.now + ahead

    def to_plan(planned: Planned) -> tuple[datetime, datetime]:
        """Where planning still has to come; messages made too late to send are left out."""
        return max(planned.complete, planned.now - late_limit), until(planned)

    def instants(planned: Planned, day: OccasionDay) -> dict[str, datetime]:
        found = occurrences(rules, day, *to_plan(planned))
        return {zone: instant for zone, instant, rule in found if rule is not Rule.SKIPPED}

    load = await previews.load(until, lambda planned: days(rules, *to_plan(planned)), instants)
    now = load.at.now
    counted: dict[datetime, Counter[str]] = defaultdict(Counter)
    missed = 0
    for (at, occasion), count in load.planned.items():
        counted[_minute(at)][occasion] += count
    for (at, occasion), count in load.to_plan.items():
        if at > now:
            counted[_minute(at)][occasion] += count
        else:
            missed += count
    minutes = [Minute(at, dict(sorted(counts.items()))) for at, counts in sorted(counted.items())]
    backlog = Backlog(load.due, load.queued, load.sending, missed)
    return Forecast(
        now,
        until(load.at),
        backlog,
        minutes,
        rate,
        None if rate is None else waves(backlog.total, minutes, now, rate),
    )


def waves(backlog: int, minutes: Sequence[Minute], now: datetime, rate: float) -> list[Wave]:
    """Drain the backlog and what joins it at `rate` per second, as if all of a minute were due at its begin."""
    busy = round(backlog / rate, 6)  # seconds from now until nothing waits
    found = [Wave(now, _later(now, busy), backlog, backlog, now)] if backlog else []
    for minute in minutes:
        at = max(minute.at, now)
        ahead = (at - now).total_seconds()
        waiting = round(max(0.0, busy - ahead) * rate) + minute.total
        joins = bool(found) and busy > ahead
        busy = round(max(busy, ahead) + minute.total / rate, 6)
        if not joins:
            found.append(Wave(at, _later(now, busy), waiting, waiting, at))
            continue
        last = found[-1]
        higher = waiting > last.peak
        found[-1] = Wave(
            last.begins_at,
            _later(now, busy),
            last.messages + minute.total,
            waiting if higher else last.peak,
            at if higher else last.peak_at,
        )
    return found


def _later(now: datetime, seconds: float) -> datetime:
    """The instant so much later, or the last one of the calendar."""
    last = datetime.max.replace(tzinfo=UTC)
    return last if seconds >= (last - now).total_seconds() else now + timedelta(seconds=seconds)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
