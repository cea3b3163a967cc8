"""Each rule of the calendar, at places and days where it is known to apply."""

from datetime import UTC, date, datetime, time

import pytest

from service.domain.calendar import LeapDay, OutOfRange, Rule, occurrence
from service.domain.zones import UnknownZone, zone_names

LEAP_BIRTHDAY = date(2000, 2, 29)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- 29 February -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leap_day", "year", "expected"),
    [
        (LeapDay.FEB28, 2027, "2027-02-28 09:00"),
        (LeapDay.MAR1, 2027, "2027-03-01 09:00"),
        (LeapDay.FEB28, 2100, "2100-02-28 09:00"),
        (LeapDay.MAR1, 2100, "2100-03-01 09:00"),
        (LeapDay.FEB28, 1900, "1900-02-28 09:00"),
    ],
)
def test_29_february_moves_in_common_years_as_configured(leap_day: LeapDay, year: int, expected: str) -> None:
    """An earlier system greeted no user of that day in common years. 2100 is one, although divisible by four."""
    found = occurrence(LEAP_BIRTHDAY, "UTC", year, leap_day=leap_day)

    assert (found.rule, found.send_at) == (Rule.LEAP_DAY, utc(expected))


def test_29_february_can_be_skipped_in_common_years() -> None:
    """This is the only case without an instant."""
    found = occurrence(LEAP_BIRTHDAY, "UTC", 2027, leap_day=LeapDay.SKIP)

    assert (found.rule, found.send_at, found.local) == (Rule.SKIPPED, None, None)


@pytest.mark.parametrize("leap_day", LeapDay)
@pytest.mark.parametrize("year", [2000, 2024, 2028, 2400])
def test_29_february_is_itself_in_leap_years(leap_day: LeapDay, year: int) -> None:
    """The rule does not apply then. 2000 and 2400 are leap years."""
    found = occurrence(LEAP_BIRTHDAY, "UTC", year, leap_day=leap_day)

    assert (found.rule, found.send_at) == (Rule.EXACT, datetime(year, 2, 29, 9, tzinfo=UTC))


@pytest.mark.parametrize("day", [date(2000, 2, 28), date(2000, 3, 1)])
def test_the_neighbours_of_29_february_are_not_leap_days(day: date) -> None:
    """Only 29 February is a leap day."""
    assert occurrence(day, "UTC", 2027, leap_day=LeapDay.SKIP).rule is Rule.EXACT


# --- changes of the clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timezone", "day", "at", "expected"),
    [
        ("America/New_York", "2025-03-09", "02:30", "2025-03-09 07:00"),
        ("America/New_York", "2025-03-09", "02:00", "2025-03-09 07:00"),
        ("America/New_York", "2025-03-09", "02:59:59", "2025-03-09 07:00"),
        # Nine o'clock itself, at the default time of greetings: the one such day since 1970.
        ("Europe/Athens", "1979-04-01", "09:00", "1979-04-01 07:00"),
        # Half an hour only.
        ("Australia/Lord_Howe", "2025-10-05", "02:15", "2025-10-04 15:30"),
        # Two hours at once.
        ("Antarctica/Troll", "2025-03-30", "01:30", "2025-03-30 01:00"),
        ("Antarctica/Troll", "2025-03-30", "02:59:59", "2025-03-30 01:00"),
        # tzdata's "summer time" of Dublin is its standard time, and winter is an hour of negative saving.
        ("Europe/Dublin", "2025-03-30", "01:30", "2025-03-30 01:00"),
        # Ramadan of 2025 ends: Morocco comes back from its hour of negative saving.
        ("Africa/Casablanca", "2025-04-06", "02:30", "2025-04-06 02:00"),
        # Days that begin at 01:00.
        ("America/Asuncion", "2024-10-06", "00:00", "2024-10-06 04:00"),
        ("Africa/Cairo", "2025-04-25", "00:00", "2025-04-24 22:00"),
        ("Asia/Beirut", "2025-03-30", "00:00", "2025-03-29 22:00"),
        ("America/Havana", "2025-03-09", "00:00", "2025-03-09 05:00"),
        ("America/Santiago", "2025-09-07", "00:30", "2025-09-07 04:00"),
        # From 23:30 to 00:30 of the next day: the evening's gap ends on the next date, and the morning's began before.
        ("America/Toronto", "1919-03-30", "23:59:59", "1919-03-31 04:30"),
        ("America/Toronto", "1919-03-31", "00:00", "1919-03-31 04:30"),
    ],
)
def test_a_time_that_the_clocks_jump_over_becomes_the_instant_of_the_jump(
    timezone: str, day: str, at: str, expected: str
) -> None:
    """A greeting is not early, and not an hour late."""
    intended = date.fromisoformat(day)

    found = occurrence(intended, timezone, intended.year, at=time.fromisoformat(at))

    assert (found.rule, found.send_at) == (Rule.GAP, utc(expected))


@pytest.mark.parametrize(
    ("timezone", "day", "at", "before", "after"),
    [
        ("America/New_York", "2025-03-09", "01:59:59", "2025-03-09 06:59:59", "2025-03-09 07:00"),
        ("Africa/Cairo", "2025-04-25", "23:59:59", "2025-04-25 20:59:59", "2025-04-24 22:00"),
    ],
)
def test_the_edges_of_a_gap_are_not_in_it(timezone: str, day: str, at: str, before: str, after: str) -> None:
    """The last second before the jump and the first second after it exist."""
    intended = date.fromisoformat(day)

    found = occurrence(intended, timezone, intended.year, at=time.fromisoformat(at))
    landing = occurrence(intended, timezone, intended.year, at=utc(after).astimezone(found.local.tzinfo).time())  # type: ignore[union-attr]

    assert (found.rule, found.send_at) == (Rule.EXACT, utc(before))
    assert (landing.rule, landing.send_at) == (Rule.EXACT, utc(after))


@pytest.mark.parametrize(
    ("timezone", "day", "at", "expected"),
    [
        ("America/New_York", "2025-11-02", "01:30", "2025-11-02 05:30"),
        ("Australia/Lord_Howe", "2025-04-06", "01:45", "2025-04-05 14:45"),
        ("Antarctica/Troll", "2025-10-26", "01:30", "2025-10-25 23:30"),
        ("Europe/Dublin", "2025-10-26", "01:30", "2025-10-26 00:30"),
        ("Africa/Casablanca", "2025-02-23", "02:30", "2025-02-23 01:30"),
        ("America/Havana", "2025-11-02", "00:00", "2025-11-02 04:00"),
        # The date line moved east: 23 hours of Kwajalein's 30 September 1969 came twice, 09:00 among them.
        ("Pacific/Kwajalein", "1969-09-30", "09:00", "1969-09-29 22:00"),
        ("America/Juneau", "1867-10-18", "23:59:59", "1867-10-18 08:57:40"),
    ],
)
def test_of_a_time_that_comes_twice_the_first_is_taken(timezone: str, day: str, at: str, expected: str) -> None:
    """There is one greeting, as early as possible."""
    intended = date.fromisoformat(day)

    found = occurrence(intended, timezone, intended.year, at=time.fromisoformat(at))

    assert (found.rule, found.send_at) == (Rule.OVERLAP, utc(expected))


def test_nine_o_clock_is_nine_o_clock_around_ramadan_in_casablanca() -> None:
    """The offset is +01:00 except during Ramadan, which moves through the year, so no rule by month is right."""
    hours = [
        occurrence(date(1990, month, day), "Africa/Casablanca", 2025).send_at
        for month, day in [(2, 22), (2, 23), (4, 5), (4, 6)]
    ]

    assert [instant.hour for instant in hours if instant] == [8, 9, 9, 8]


def test_a_reading_that_the_zone_never_had_is_not_taken_for_a_repeated_hour() -> None:
    """Nuuk gave up an hour in October 2023 without touching its clocks; `zoneinfo` there sees an hour twice.

    Its first reading of 23:30 is an instant at which the clocks showed 22:30, so the greeting would be early.
    """
    found = occurrence(date(1990, 10, 28), "America/Nuuk", 2023, at=time(23, 30))

    assert (found.rule, found.send_at) == (Rule.EXACT, utc("2023-10-29 01:30"))


# --- dates that do not exist -----------------------------------------------------------------------------------

MISSING = {
    "Asia/Manila": date(1844, 12, 31),
    "Pacific/Guam": date(1844, 12, 31),
    "Pacific/Kosrae": date(1844, 12, 31),
    "Pacific/Palau": date(1844, 12, 31),
    "Pacific/Kwajalein": date(1993, 8, 21),
    "Pacific/Enderbury": date(1994, 12, 31),
    "Pacific/Kiritimati": date(1994, 12, 31),
    "Pacific/Apia": date(2011, 12, 30),
    "Pacific/Fakaofo": date(2011, 12, 30),
}
"""Every date that tzdata leaves out, found by a search of all of its zones (their other names apart)."""


@pytest.mark.parametrize("at", [time(0), time(9), time(23, 59, 59)])
@pytest.mark.parametrize("timezone", MISSING)
def test_a_date_that_does_not_exist_gives_way_to_the_same_time_of_the_next(timezone: str, at: time) -> None:
    """A place that crosses the date line from west to east loses a date.

    Greetings come a day later, at the same time.
    """
    missing = MISSING[timezone]
    following = date.fromordinal(missing.toordinal() + 1)

    found = occurrence(missing, timezone, missing.year, at=at)

    assert found.rule is Rule.MISSING_DATE
    assert found.send_at == occurrence(following, timezone, following.year, at=at).send_at
    assert found.local is not None
    assert found.local.replace(tzinfo=None) == datetime.combine(following, at)


@pytest.mark.parametrize("timezone", MISSING)
def test_the_dates_beside_a_missing_one_are_ordinary(timezone: str) -> None:
    """Only the missing date moves."""
    for step in (-1, 1):
        beside = date.fromordinal(MISSING[timezone].toordinal() + step)

        assert occurrence(beside, timezone, beside.year).rule is Rule.EXACT


def test_31_december_can_be_due_in_the_next_year() -> None:
    """Kiritimati had no 31 December 1994, so the occasion of local year 1994 is on 1 January 1995."""
    found = occurrence(date(1990, 12, 31), "Pacific/Kiritimati", 1994)

    assert found.send_at == utc("1994-12-31 19:00")
    assert str(found.local) == "1995-01-01 09:00:00+14:00"


# --- one day off, on both sides --------------------------------------------------------------------------------


def test_a_day_begins_26_hours_earlier_in_kiritimati_than_west_of_the_date_line() -> None:
    """Code that takes dates in UTC is a day off on both sides."""
    first = occurrence(date(1990, 1, 1), "Pacific/Kiritimati", 2026)
    last = occurrence(date(1990, 1, 1), "Etc/GMT+12", 2026)

    assert (first.send_at, last.send_at) == (utc("2025-12-31 19:00"), utc("2026-01-01 21:00"))


# --- two rules at once, and the ends of the calendar -----------------------------------------------------------


@pytest.mark.parametrize(
    ("timezone", "year", "leap_day", "at", "expected"),
    [
        ("Europe/Lisbon", 1919, LeapDay.MAR1, time(0), "1919-03-01 00:00"),
        ("America/Sao_Paulo", 1998, LeapDay.FEB28, time(23, 59, 59), "1998-03-01 01:59:59"),
    ],
)
def test_a_leap_day_that_meets_a_change_of_the_clocks_is_a_leap_day(
    timezone: str, year: int, leap_day: LeapDay, at: time, expected: str
) -> None:
    """Both rules apply to the instant. The answer names the one that applied first."""
    found = occurrence(LEAP_BIRTHDAY, timezone, year, at=at, leap_day=leap_day)

    assert (found.rule, found.send_at) == (Rule.LEAP_DAY, utc(expected))
    assert occurrence(found.local.date(), timezone, year, at=at).rule in (Rule.GAP, Rule.OVERLAP)  # type: ignore[union-attr]


@pytest.mark.parametrize("year", [-1, 0, 10_000, 10**30])
@pytest.mark.parametrize("leap_day", LeapDay)
def test_a_year_without_a_calendar_is_out_of_range(year: int, leap_day: LeapDay) -> None:
    """This holds even if the leap day would be skipped, because a wrong year is an error."""
    with pytest.raises(OutOfRange):
        occurrence(LEAP_BIRTHDAY, "UTC", year, leap_day=leap_day)


@pytest.mark.parametrize("at", [time(0), time(9), time(23, 59, 59)])
def test_the_first_and_the_last_day_have_an_instant_or_are_out_of_range(at: time) -> None:
    """East of Greenwich the year 1 begins, and west of it the year 9999 ends, in a UTC year that cannot be written."""
    for timezone in zone_names():
        for day in (date(1, 1, 1), date(9999, 12, 31)):
            try:
                found = occurrence(day, timezone, day.year, at=at)
            except OutOfRange:
                continue
            assert found.send_at is not None
            assert abs((found.send_at.replace(tzinfo=None) - datetime.combine(day, at)).total_seconds()) < 86400


def test_out_of_range_is_what_the_ends_are_where_utc_has_no_year_for_them() -> None:
    """Both results occur, so the test above can fail."""
    with pytest.raises(OutOfRange):
        occurrence(date(1, 1, 1), "Etc/GMT-14", 1, at=time(0))
    with pytest.raises(OutOfRange):
        occurrence(date(9999, 12, 31), "Etc/GMT+12", 9999, at=time(23))


def test_an_unknown_zone_is_an_error_even_for_a_skipped_day() -> None:
    """Otherwise an error in the data would be hidden in three years of four."""
    with pytest.raises(UnknownZone):
        occurrence(LEAP_BIRTHDAY, "Mars/Olympus", 2027, leap_day=LeapDay.SKIP)


def test_the_fold_and_zone_of_the_configured_time_play_no_part() -> None:
    """`fold` would silently choose the second of two instants."""
    assert occurrence(date(1990, 11, 2), "America/New_York", 2025, at=time(1, 30, fold=1)).send_at == utc(
        "2025-11-02 05:30"
    )
