"""Computes the one instant at which an occasion of a local year is due. No other module has calendar rules.

The local intent (date, time of day, zone) is the truth. Every combination has exactly one result. The rules apply in
this order: the leap-day rule of 29 February, the occasion's offset and weekend rule, a date that the zone left out, a
time of day that is left out or comes twice. The result names the first of these rules that applied. The offset is part
of the day itself, so it has no name. See docs/explanation/calendar.md.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from calendar import isleap
from dataclasses import dataclass, replace
from enum import StrEnum
from zoneinfo import ZoneInfo

from service.domain.zones import zone

NINE = dt.time(9)
"""The local time of day of a greeting, unless configured otherwise."""


class LeapDay(StrEnum):
    """The rule for 29 February in a common year; the values are those of `HEYDAY_LEAP_DAY`."""

    FEB28 = "feb28"
    MAR1 = "mar1"
    SKIP = "skip"


class Weekend(StrEnum):
    """The rule for a day that falls on a Saturday or a Sunday; the values are those of an occasion's `weekend`."""

    KEEP = "keep"
    BEFORE = "before"
    """The Friday before."""
    AFTER = "after"
    """The Monday after."""


MAX_OFFSET_DAYS = 60
"""Days by which an occasion may be shifted, before or after the date."""

MAX_WEEKEND_SHIFT = 2
"""Days by which a weekend rule moves a day at most: Sunday to Friday, or Saturday to Monday."""


class Rule(StrEnum):
    """The rule that gave an occurrence its instant; the values are those of `heyday when`."""

    EXACT = "exact"
    """The date and the time of day exist once."""
    LEAP_DAY = "leap_day"
    """29 February in a common year, moved by `LeapDay`."""
    WEEKEND = "weekend"
    """A Saturday or Sunday, moved by `Weekend`."""
    MISSING_DATE = "missing_date"
    """The zone left the whole date out: the time of day on the next date that exists."""
    GAP = "gap"
    """The clocks jumped over the time of day: the first instant after the jump."""
    OVERLAP = "overlap"
    """The clocks were put back over the time of day, which comes twice: the first of the two."""
    SKIPPED = "skipped"
    """29 February in a common year under `LeapDay.SKIP`: not this year."""


@dataclass(frozen=True, slots=True)
class DayRules:
    """The rules of an occasion's day: time of day, leap-day rule, weekend rule, and days before (< 0) or after."""

    at: dt.time = NINE
    leap_day: LeapDay = LeapDay.FEB28
    weekend: Weekend = Weekend.KEEP
    offset_days: int = 0

    def __hash__(self) -> int:
        return hash((self.at, self.offset_days))  # hashing an enum takes longer than all the rest


class OutOfRange(ValueError):
    """The instant lies outside the years 1 to 9999 (of UTC, or of the local date)."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due instant of an occasion: `send_at` in UTC, `local` in the local time of the zone, both aware.

    Both are None if and only if the rule is SKIPPED.
    """

    rule: Rule
    send_at: dt.datetime | None
    local: dt.datetime | None


_SKIPPED = Occurrence(Rule.SKIPPED, None, None)
_ONE_DAY = dt.timedelta(days=1)
_ONE_SECOND = dt.timedelta(seconds=1)


def occurrence(
    date: dt.date,
    timezone: str,
    year: int,
    *,
    at: dt.time = NINE,
    leap_day: LeapDay = LeapDay.FEB28,
    weekend: Weekend = Weekend.KEEP,
    offset_days: int = 0,
) -> Occurrence:
    """Compute the instant of the day of `date` in the local year `year`, at `at` (whole seconds) in `timezone`.

    The year of `date` plays no part: whether a person was born by then is the caller's question. `year` is that of the
    day before `offset_days` and `weekend` move it, which may be into another year.
    Raises UnknownZone, and OutOfRange near the ends of the calendar.
    """
    if not 1 <= year <= 9999:
        raise OutOfRange(f"year {year!r}: expected 1 to 9999")
    tz = zone(timezone)
    month, day, rule = date.month, date.day, Rule.EXACT
    if day == 29 and month == 2 and not isleap(year):
        if leap_day is LeapDay.SKIP:
            return _SKIPPED
        month, day = (2, 28) if leap_day is LeapDay.FEB28 else (3, 1)
        rule = Rule.LEAP_DAY
    try:
        if offset_days or weekend is not Weekend.KEEP:
            shifted = dt.date(year, month, day) + dt.timedelta(offset_days)
            if moved := _weekend_shift(shifted, weekend):
                shifted += dt.timedelta(moved)
                rule = Rule.WEEKEND if rule is Rule.EXACT else rule
            year, month, day = shifted.year, shifted.month, shifted.day
        local = dt.datetime(year, month, day, at.hour, at.minute, at.second, 0, tz)
        second_reading = dt.datetime(year, month, day, at.hour, at.minute, at.second, 0, tz, fold=1)
        # Local times in gaps and overlaps have two readings (PEP 495); nearly all have one, and are done here.
        if tz.utcoffset(local) == tz.utcoffset(second_reading):
            return Occurrence(rule, local.astimezone(dt.UTC), local)
        found = _beside_a_jump(local, second_reading, tz)
    except OverflowError as error:
        raise OutOfRange(f"year {year!r}: the instant in UTC lies outside the years 1 to 9999") from error
    return found if rule is Rule.EXACT else replace(found, rule=rule)


def _weekend_shift(day: dt.date, weekend: Weekend) -> int:
    """Days by which the rule moves that day; 0 from Monday to Friday."""
    after_friday = day.weekday() - 4
    if weekend is Weekend.KEEP or after_friday <= 0:
        return 0
    return -after_friday if weekend is Weekend.BEFORE else 3 - after_friday


def _beside_a_jump(local: dt.datetime, second_reading: dt.datetime, tz: ZoneInfo) -> Occurrence:
    """Resolve a local time that has two readings: it comes twice, or not at all.

    Only an instant whose clocks show `local` counts as a reading. `zoneinfo` also offers readings that never were,
    where a zone's explicit history hands over to its rule for the future (Nuuk, 2023-10-28 23:30).
    """
    early, late = sorted((local.astimezone(dt.UTC), second_reading.astimezone(dt.UTC)))
    real = [instant for instant in (early, late) if _wall(instant, tz) == local.replace(tzinfo=None)]
    if real:
        rule = Rule.EXACT if len(real) == 1 else Rule.OVERLAP
        return Occurrence(rule, real[0], real[0].astimezone(tz))

    jump = _jump_between(early, late, tz)
    left, landed = _wall(jump - _ONE_SECOND, tz) + _ONE_SECOND, _wall(jump, tz)
    if left <= dt.datetime.combine(local, dt.time.min) and landed.date() > local.date():
        next_date = local.date() + _ONE_DAY
        found = occurrence(next_date, tz.key, next_date.year, at=local.time())
        return replace(found, rule=Rule.MISSING_DATE)
    return Occurrence(Rule.GAP, jump, jump.astimezone(tz))


def _jump_between(earliest: dt.datetime, latest: dt.datetime, tz: ZoneInfo) -> dt.datetime:
    """The first instant, in UTC, whose offset is no longer that of `earliest`.

    `zoneinfo` has no list of its transitions. Bisection finds this one to the second, the precision of zone data.
    """
    old = earliest.astimezone(tz).utcoffset()

    def has_jumped(seconds: int) -> bool:
        return (earliest + dt.timedelta(seconds=seconds)).astimezone(tz).utcoffset() != old

    span = int((latest - earliest).total_seconds())
    return earliest + dt.timedelta(seconds=bisect_left(range(span), True, key=has_jumped))


def _wall(instant: dt.datetime, tz: ZoneInfo) -> dt.datetime:
    """Return the local time at that instant."""
    return instant.astimezone(tz).replace(tzinfo=None)
