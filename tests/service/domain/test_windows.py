"""Adjacent windows: every occurrence falls into exactly one of them."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.calendar import LeapDay, Rule, occurrence
from service.domain.windows import days_of_interest, occurrences_in
from service.domain.zones import UnknownZone, zone_names
from tests.service.domain.reference import TIMES, ZONES, days

DAY = timedelta(days=1)
NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001 - what must be refused
quick = settings(max_examples=100, derandomize=True, deadline=None)


def due_in(
    start: datetime, end: datetime, timezone: str, at: time, leap_day: LeapDay
) -> list[tuple[int, int, datetime, Rule]]:
    """Return what the planner does with a window, for one zone."""
    return [
        (year, month_day, send_at, rule)
        for year, month_day in days_of_interest(start, end)
        for _, send_at, rule in occurrences_in(month_day, year, [timezone], start, end, at=at, leap_day=leap_day)
    ]


@quick
@given(
    data=st.data(),
    timezone=ZONES,
    at=TIMES,
    leap_day=st.sampled_from([LeapDay.FEB28, LeapDay.MAR1]),
    length=st.timedeltas(timedelta(seconds=1), 4 * DAY).map(lambda length: length - length % timedelta(seconds=1)),
    part=st.integers(0, 100),
)
def test_an_occurrence_is_found_in_every_window_that_its_instant_falls_into(
    data: st.DataObject, timezone: str, at: time, leap_day: LeapDay, length: timedelta, part: int
) -> None:
    """A day that the planner does not look at is a lost greeting."""
    day = data.draw(days(timezone) | st.integers(1850, 2100).map(lambda year: date(year, 2, 28)))
    if day.month == 2 and day.day == 28 and part % 2:
        month_day, intended, year = 229, date(2000, 2, 29), day.year
    else:
        month_day, intended, year = day.month * 100 + day.day, day, day.year
    found = occurrence(intended, timezone, year, at=at, leap_day=leap_day)
    assert found.send_at is not None
    start = found.send_at - min(length * part / 100, length - timedelta(seconds=1))
    end = start + length

    due = due_in(start, end, timezone, at, leap_day)

    assert (year, month_day, found.send_at, found.rule) in due


@quick
@given(data=st.data(), timezone=ZONES, at=TIMES, leap_day=st.sampled_from(LeapDay), shift=st.integers(-86400, 86400))
def test_two_windows_side_by_side_share_nothing_and_lose_nothing(
    data: st.DataObject, timezone: str, at: time, leap_day: LeapDay, shift: int
) -> None:
    """Planning continues where it ended, here often at an occurrence itself."""
    day = data.draw(days(timezone))
    send_at = occurrence(day, timezone, day.year, at=at).send_at
    assert send_at is not None
    border = send_at + timedelta(seconds=data.draw(st.sampled_from([0, -1, 1, shift])))

    before = due_in(border - 2 * DAY, border, timezone, at, leap_day)
    after = due_in(border, border + 2 * DAY, timezone, at, leap_day)

    assert sorted(before + after) == sorted(due_in(border - 2 * DAY, border + 2 * DAY, timezone, at, leap_day))
    assert not set(before) & set(after)


@pytest.mark.parametrize(
    ("timezone", "missing"), [("Pacific/Apia", date(2011, 12, 30)), ("Pacific/Kiritimati", date(1994, 12, 31))]
)
def test_a_missing_date_is_found_in_the_window_of_the_next(timezone: str, missing: date) -> None:
    """The occurrence is a day after its date, and in Kiritimati in the next year."""
    send_at = occurrence(missing, timezone, missing.year).send_at
    assert send_at is not None

    due = due_in(send_at, send_at + timedelta(seconds=1), timezone, time(9), LeapDay.FEB28)

    assert (missing.year, missing.month * 100 + missing.day, send_at, Rule.MISSING_DATE) in due
    assert [rule for *_, rule in due] == [Rule.MISSING_DATE, Rule.EXACT]


@pytest.mark.parametrize(
    ("leap_day", "instant"),
    [(LeapDay.FEB28, datetime(2027, 2, 28, 9, tzinfo=UTC)), (LeapDay.MAR1, datetime(2027, 3, 1, 9, tzinfo=UTC))],
)
def test_29_february_is_due_in_common_years_as_configured(leap_day: LeapDay, instant: datetime) -> None:
    """The planner looks at this day although the year does not have it."""
    due = due_in(instant, instant + timedelta(seconds=1), "UTC", time(9), leap_day)

    assert (2027, 229, instant, Rule.LEAP_DAY) in due


def test_29_february_is_looked_at_where_its_day_begins_first() -> None:
    """Midnight of 28 February in Kiritimati is the morning of the 27th in UTC."""
    midnight = datetime(2027, 2, 27, 10, tzinfo=UTC)

    due = due_in(midnight, midnight + timedelta(seconds=1), "Pacific/Kiritimati", time(0), LeapDay.FEB28)

    assert (2027, 229, midnight, Rule.LEAP_DAY) in due


def test_a_skipped_day_is_due_in_no_window() -> None:
    """The rule `skip` gives no greeting in common years."""
    start = datetime(2027, 2, 20, tzinfo=UTC)

    due = due_in(start, start + 20 * DAY, "UTC", time(9), LeapDay.SKIP)

    assert len(due) == 20
    assert 229 not in [month_day for _, month_day, *_ in due]


def test_a_date_is_due_in_every_zone_once() -> None:
    """This takes about two days, from Kiritimati to the date line."""
    start = datetime(2026, 12, 30, tzinfo=UTC)

    due = occurrences_in(101, 2027, zone_names(), start, start + 4 * DAY)

    assert sorted(timezone for timezone, *_ in due) == sorted(zone_names())


def test_the_start_of_a_window_is_in_it_and_its_end_is_not() -> None:
    """Otherwise the instant at the border would be planned twice or never."""
    nine = datetime(2027, 5, 5, 9, tzinfo=UTC)

    assert len(occurrences_in(505, 2027, ["UTC"], nine, nine + DAY)) == 1
    assert occurrences_in(505, 2027, ["UTC"], nine - DAY, nine) == []


def test_an_empty_window_is_of_no_interest() -> None:
    """A window that ends at its start, or before it, has no days."""
    noon = datetime(2027, 1, 1, 12, tzinfo=UTC)

    assert days_of_interest(noon, noon) == []
    assert days_of_interest(noon, noon - DAY) == []


def test_days_of_interest_are_few_and_in_order() -> None:
    """Each day costs a query. A plan of two days has a handful."""
    start = datetime(2027, 2, 28, tzinfo=UTC)

    found = days_of_interest(start, start + 2 * DAY)

    assert found == [(2027, day) for day in (225, 226, 227, 228, 229, 301, 302, 303)]


def test_the_ends_of_the_calendar_make_no_window_fail() -> None:
    """Callers use `datetime.min` and `datetime.max` for "always"."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert days_of_interest(first, first + DAY) == [(1, 101), (1, 102), (1, 103)]
    assert days_of_interest(last - DAY, last)[-1] == (9999, 1231)
    assert occurrences_in(101, 1, ["Etc/GMT-14"], first, last) == []


@pytest.mark.parametrize(("start", "end"), [(NAIVE, NAIVE + DAY), (NAIVE.replace(tzinfo=UTC), NAIVE)])
def test_naive_datetimes_are_refused(start: datetime, end: datetime) -> None:
    """They would be read in the zone of the machine."""
    with pytest.raises(ValueError, match="aware"):
        days_of_interest(start, end)


def test_mistakes_in_the_question_are_errors() -> None:
    """An impossible day or unknown zone must not look like "no user is due"."""
    start = datetime(2027, 1, 1, tzinfo=UTC)

    with pytest.raises(ValueError, match="day"):
        occurrences_in(230, 2027, ["UTC"], start, start + DAY)
    with pytest.raises(UnknownZone):
        occurrences_in(101, 2027, ["Mars/Olympus"], start, start + DAY)
