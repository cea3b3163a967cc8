"""Which occurrences fall into a window of instants: start included, end not, so that windows can be laid in a row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time

from service.domain.calendar import NINE, LeapDay, OutOfRange, Rule, occurrence

_LEAP_YEAR = 2000

_DAYS_BEFORE = 3
"""How far the date of a user can lie before the UTC date of its occurrence: a day by the zone, a day because the zone
left that date out, and a day to spare."""

_DAYS_AFTER = 1
"""How far it can lie after: a day by the zone. No rule of the calendar makes a greeting early."""


def days_of_interest(start: datetime, end: datetime) -> list[tuple[int, int]]:
    """Every (local year, month * 100 + day) whose occurrence may fall into [start, end), in order.

    It holds for every zone, time of day and leap-day rule, and is therefore some days too wide: `occurrences_in`
    decides. Day 229 comes along with 228 and with 301, where common years keep it.
    Raises ValueError for naive datetimes.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError(f"expected aware datetimes, not {start} and {end}")
    if start >= end:
        return []
    first = max(start.astimezone(UTC).toordinal() - _DAYS_BEFORE, date.min.toordinal())
    last = min(end.astimezone(UTC).toordinal() + _DAYS_AFTER, date.max.toordinal())
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
) -> list[tuple[str, datetime, Rule]]:
    """The zones in which that day of that local year is due within [start, end): (zone, instant in UTC, rule).

    Raises UnknownZone, and ValueError for a day that no year has.
    """
    day = date(_LEAP_YEAR, *divmod(month_day, 100))
    found = []
    for timezone in zones:
        try:
            due = occurrence(day, timezone, local_year, at=at, leap_day=leap_day)
        except OutOfRange:
            continue  # An instant that no datetime can hold lies in no window.
        if due.send_at is not None and start <= due.send_at < end:
            found.append((timezone, due.send_at, due.rule))
    return found
