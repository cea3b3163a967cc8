"""Finds the occurrences in a window of instants.

The start is inclusive and the end exclusive, so windows can follow one another.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time

from service.domain.calendar import (
    MAX_WEEKEND_SHIFT,
    NINE,
    LeapDay,
    OutOfRange,
    Rule,
    Weekend,
    occurrence,
)

_LEAP_YEAR = 2000

_DAYS_BEFORE = 3
"""The date of a user is at most this long before the UTC date of its occurrence.

One day is for the zone, one for a date that the zone left out, and one is spare.
"""

_DAYS_AFTER = 1
"""The date is at most this long after it: a day for the zone. An offset and a weekend rule add to it."""


def days_of_interest(
    start: datetime, end: datetime, *, offset_days: int = 0, weekends: bool = False
) -> list[tuple[int, int]]:
    """Every (local year, month * 100 + day) whose occurrence may fall into [start, end), in order.

    It holds for every zone, time of day and leap-day rule, and is therefore some days too wide: `occurrences_in`
    decides. Day 229 comes along with 228 and with 301, where common years keep it. The days are those before
    `offset_days` shift them; with `weekends` they hold for every weekend rule, too.
    Raises ValueError for naive datetimes.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError(f"expected aware datetimes, not {start} and {end}")
    if start >= end:
        return []
    spare = MAX_WEEKEND_SHIFT if weekends else 0
    first = max(start.astimezone(UTC).toordinal() - _DAYS_BEFORE - spare - offset_days, date.min.toordinal())
    last = min(end.astimezone(UTC).toordinal() + _DAYS_AFTER + spare - offset_days, date.max.toordinal())
    found = set()
    for ordinal in range(first, last + 1):
        day = date.fromordinal(ordinal)
        month_day = day.month * 100 + day.day
        found.add((day.year, month_day))
        if month_day in (228, 301):
            found.add((day.year, 229))
    return sorted(found)


def occurrences_in(
    month_day: int,
    local_year: int,
    zones: Collection[str],
    start: datetime,
    end: datetime,
    *,
    at: time = NINE,
    leap_day: LeapDay = LeapDay.FEB28,
    weekend: Weekend = Weekend.KEEP,
    offset_days: int = 0,
) -> list[tuple[str, datetime, Rule]]:
    """The zones in which that day of that local year is due within [start, end): (zone, instant in UTC, rule).

    Raises UnknownZone, and ValueError for a day that no year has.
    """
    day = date(_LEAP_YEAR, *divmod(month_day, 100))
    found = []
    for timezone in zones:
        try:
            due = occurrence(
                day, timezone, local_year, at=at, leap_day=leap_day, weekend=weekend, offset_days=offset_days
            )
        except OutOfRange:
            continue  # An instant that no datetime can hold lies in no window.
        if due.send_at is not None and start <= due.send_at < end:
            found.append((timezone, due.send_at, due.rule))
    return found
