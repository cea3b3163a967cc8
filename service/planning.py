"""What is to be planned, and when each greeting of it is due: calendar rules applied to stored days.

The daily job, a planner's range, one user's edit and a preview all ask here, so they cannot disagree.
"""

from __future__ import annotations

from calendar import isleap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from service.domain.calendar import LeapDay, OutOfRange, Rule, occurrence
from service.domain.windows import days_of_interest, occurrences_in
from service.domain.zones import zone_names
from service.ports import Day, OccasionRow, PlanRange, Shifted, UnsentDay, Wanted

HORIZON = timedelta(hours=48)
"""How far ahead the daily job plans: one missed run leaves a day to notice."""


_LEAP_YEAR = 2000
"""A year that has every day; of a user's date only month and day play a part."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When occasions are due: what the occasion says itself, else what the node's settings say."""

    send_at: time
    leap_day: LeapDay
    occasions: tuple[OccasionRow, ...]

    def of(self, code: str) -> tuple[time, LeapDay]:
        """Local time of day and leap-day rule of an occasion. Raises LookupError."""
        for row in self.occasions:
            if row.code == code:
                return row.send_at or self.send_at, LeapDay(row.leap_day) if row.leap_day else self.leap_day
        raise LookupError(f"no occasion {code!r}")


def horizon(now: datetime) -> datetime:
    """The instant up to which to plan at `now`: on the hour, so that nodes which start together agree on it."""
    return now.replace(minute=0, second=0, microsecond=0) + HORIZON


def days(rules: Rules, starts_at: datetime, ends_at: datetime) -> list[Day]:
    """Every occasion's every day with an instant in [starts_at, ends_at) somewhere in the world, oldest first."""
    return [
        Day(row.code, local_year, month_day)
        for local_year, month_day in days_of_interest(starts_at, ends_at)
        for row in rules.occasions
    ]


def instants(rules: Rules, planned: PlanRange) -> Sequence[tuple[str, datetime]]:
    """The instant of a range's day in every zone where it falls into the range's window."""
    found = _everywhere(planned.day.month_day, planned.day.local_year, *rules.of(planned.day.occasion))
    return [(zone, send_at) for zone, send_at, _rule in found if planned.starts_at <= send_at < planned.ends_at]


def slots(rules: Rules, day: Day, starts_at: datetime, ends_at: datetime) -> list[tuple[str, datetime, Rule]]:
    """Where a day falls into [starts_at, ends_at), as `instants` has it, with the rule that says so: for people.

    A leap day that is skipped falls into no window. So that it can be shown, it is listed as `Rule.SKIPPED` at the
    instant that it would have on 28 February.
    """
    at, leap_day = rules.of(day.occasion)
    skipped = day.month_day == 229 and leap_day is LeapDay.SKIP and not isleap(day.local_year)
    found = _everywhere(day.month_day, day.local_year, at, LeapDay.FEB28 if skipped else leap_day)
    return [
        (zone, send_at, Rule.SKIPPED if skipped else rule)
        for zone, send_at, rule in found
        if starts_at <= send_at < ends_at
    ]


def personal_slot(
    rules: Rules, occasion: str, day: date, timezone: str, local_year: int
) -> tuple[datetime, Rule] | None:
    """What `slots` has of one person's date in one local year; None: no datetime can hold the instant."""
    at, leap_day = rules.of(occasion)
    try:
        found = occurrence(day, timezone, local_year, at=at, leap_day=leap_day)
        rule = found.rule
        if rule is Rule.SKIPPED:
            found = occurrence(day, timezone, local_year, at=at, leap_day=LeapDay.FEB28)
    except OutOfRange:
        return None
    return None if found.send_at is None else (found.send_at, rule)


_BEGIN, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=64)  # the ranges of one day follow one another, and so do the windows of a preview
def _everywhere(month_day: int, local_year: int, at: time, leap_day: LeapDay) -> Sequence[tuple[str, datetime, Rule]]:
    return occurrences_in(month_day, local_year, zone_names(), _BEGIN, _END, at=at, leap_day=leap_day)


def wanted(rules: Rules, dates: Mapping[str, date | None], timezone: str, *, now: datetime) -> list[Wanted]:
    """What one user's days come to in the local years around `now`: last year's, this year's and the next.

    `dates` has every occasion that may have changed; None means that there is no date, or no longer.
    """
    result: list[Wanted] = []
    for occasion, day in dates.items():
        if day is None:
            result += (Wanted(occasion, year, None) for year in _years_around(now.year))
        else:
            result += _around(occasion, day.month, day.day, timezone, now.year, *rules.of(occasion))
    return result


def _years_around(year: int) -> tuple[int, int, int]:
    return year - 1, year, year + 1


@lru_cache(maxsize=16_384)  # the days of the zones in which most users live; about 10 MB
def _around(
    occasion: str, month: int, day: int, timezone: str, year: int, at: time, leap_day: LeapDay
) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(occasion, local_year, _send_at(month, day, timezone, local_year, at, leap_day))
        for local_year in _years_around(year)
    )


def _send_at(month: int, day: int, timezone: str, year: int, at: time, leap_day: LeapDay) -> datetime | None:
    try:
        return occurrence(date(_LEAP_YEAR, month, day), timezone, year, at=at, leap_day=leap_day).send_at
    except OutOfRange:
        return None


def shifted(rules: Rules, unsent: Sequence[UnsentDay]) -> list[Shifted]:
    """Those whose instant is another now: by newer zone data, or by settings that were changed with it.

    A day that has no instant any more is left as it is.
    """
    result = []
    for one in unsent:
        day = one.day
        everywhere = _everywhere(day.month_day, day.local_year, *rules.of(day.occasion))
        send_at = next((send_at for zone, send_at, _rule in everywhere if zone == one.timezone), None)
        if send_at is not None and send_at != one.send_at:
            result.append(Shifted(one, send_at))
    return result


def told(moves: Sequence[Shifted]) -> list[str]:
    """Zones and how many of their messages are moved by how much, the most first: for people."""
    by_zone: Counter[tuple[str, float]] = Counter()
    for move in moves:
        hours = (move.send_at - move.unsent.send_at) / timedelta(hours=1)
        by_zone[move.unsent.timezone, hours] += move.unsent.messages
    return [f"{zone} {hours:+g} h: {count}" for (zone, hours), count in by_zone.most_common()]
