"""The dates of users: a whole date, or month and day alone where the year is unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

PLACEHOLDER_YEAR = 4
"""The year of a stored date whose year is unknown: a leap year before every other date of a user."""

_WHOLE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_YEARLESS = re.compile(r"--[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day of every year, 29 February included, whose first year is unknown. Raises ValueError for 30 February."""

    month: int
    day: int

    def __post_init__(self) -> None:
        date(PLACEHOLDER_YEAR, self.month, self.day)

    def __str__(self) -> str:
        """The date in the form of ISO 8601:2000 and vCard (RFC 6350, 4.3.1): `--02-29`."""
        return f"--{self.month:02}-{self.day:02}"


OccasionDate: TypeAlias = date | MonthDay
"""The date of an occasion. If its year is known, there is no greeting in that year."""


def parse_day(text: str) -> OccasionDate:
    """Parse `YYYY-MM-DD` or `--MM-DD`, and nothing else that ISO 8601 allows. Raises ValueError."""
    if _WHOLE.fullmatch(text):
        return date.fromisoformat(text)
    if _YEARLESS.fullmatch(text):
        return MonthDay(int(text[2:4]), int(text[5:7]))
    raise ValueError("expected YYYY-MM-DD or --MM-DD")


def stored_date(day: OccasionDate) -> date:
    """The date as a table of dates holds it. Its column `year_known` says if the year means anything."""
    return date(PLACEHOLDER_YEAR, day.month, day.day) if isinstance(day, MonthDay) else day


def first_year(day: OccasionDate) -> int | None:
    """The year of the date itself, in which it has no greeting; None where it is unknown."""
    return None if isinstance(day, MonthDay) else day.year


def is_first_year(day: OccasionDate, local_year: int) -> bool:
    """True for the year of the date itself, and for those before it."""
    year = first_year(day)
    return year is not None and local_year <= year


_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})(?:[T ][0-9:.,]+(?:Z|[+-][0-9:]+)?)?")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_NO_YEAR = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")


def suggest_day(text: str) -> OccasionDate | None:
    """The date that another spelling means where it means one alone: `31.12.1990`, `1990/12/31`, `12-31`."""
    if len(text) > len("1990-12-31T00:00:00.000000000+00:00"):
        return None
    try:
        if found := _YEAR_FIRST.fullmatch(text):
            return date(int(found[1]), int(found[3]), int(found[4]))
        if found := _NO_YEAR.fullmatch(text):
            return MonthDay(int(found[1]), int(found[2]))
        if found := _YEAR_LAST.fullmatch(text):
            first, second, year = int(found[1]), int(found[3]), int(found[4])
            # With dots the day comes first. With slashes either may come first, unless one of the numbers is no month.
            if found[2] == "." or first > 12 or first == second:
                return date(year, second, first)
            return date(year, first, second) if second > 12 else None
    except ValueError:
        return None
    return None
