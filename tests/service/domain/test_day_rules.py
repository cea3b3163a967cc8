"""Offsets and weekend rules: the day that results, and that planning looks at that day."""

from __future__ import annotations

from calendar import isleap
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.calendar import MAX_OFFSET_DAYS, DayRules, LeapDay, OutOfRange, Rule, Weekend, occurrence
from service.domain.occasions import OccasionRow
from service.domain.planning import OccasionDay, PlanningRules, PlanRange, days, desired_messages, instants, occurrences
from tests.service.domain.reference import TIMES, ZONES, expected

DAY = timedelta(days=1)
thorough = settings(max_examples=150, derandomize=True, deadline=None)

OFFSETS = st.integers(-MAX_OFFSET_DAYS, MAX_OFFSET_DAYS) | st.sampled_from([-1, 0, 1])
YEARS = st.integers(1950, 2060) | st.sampled_from([1969, 1993, 1995, 2011, 2024, 2026, 2027, 2028, 2100])
DATES = st.dates(date(2000, 1, 1), date(2000, 12, 31)) | st.sampled_from(
    [date(2000, 2, 29), date(2000, 12, 30), date(2000, 12, 31), date(2000, 1, 1), date(2000, 1, 2), date(2000, 3, 1)]
)


def intended(day: date, year: int, due: DayRules) -> tuple[date, bool, bool] | None:
    """Return the local date after all rules, and the rule that moved it. None: it is skipped."""
    leap_day = (day.month, day.day) == (2, 29) and not isleap(year)
    if leap_day and due.leap_day is LeapDay.SKIP:
        return None
    month, number = ((2, 28) if due.leap_day is LeapDay.FEB28 else (3, 1)) if leap_day else (day.month, day.day)
    shifted = date(year, month, number) + due.offset_days * DAY
    weekend = shifted
    while due.weekend is not Weekend.KEEP and weekend.isoweekday() > 5:
        weekend += DAY if due.weekend is Weekend.AFTER else -DAY
    return weekend, leap_day, weekend != shifted


@thorough
@given(
    day=DATES,
    year=YEARS,
    timezone=ZONES,
    at=TIMES,
    leap=st.sampled_from(LeapDay),
    weekend=st.sampled_from(Weekend),
    offset=OFFSETS,
)
def test_the_rules_apply_one_after_the_other(
    day: date, year: int, timezone: str, at: time, leap: LeapDay, weekend: Weekend, offset: int
) -> None:
    """29 February, then the offset, then the weekend, then the clocks, checked with the slow calendar."""
    due = DayRules(at, leap, weekend, offset)
    found = occurrence(day, timezone, year, at=at, leap_day=leap, weekend=weekend, offset_days=offset)

    wanted = intended(day, year, due)

    if wanted is None:
        assert (found.rule, found.send_at) == (Rule.SKIPPED, None)
        return
    on, leapt, moved = wanted
    clocks, instant = expected(on, timezone, at)
    assert found.send_at == instant
    assert found.rule is (Rule.LEAP_DAY if leapt else Rule.WEEKEND if moved else clocks)


@thorough
@given(
    day=DATES,
    year=YEARS,
    timezone=ZONES,
    at=TIMES,
    leap=st.sampled_from(LeapDay),
    weekend=st.sampled_from(Weekend),
    offset=OFFSETS,
    before=st.integers(0, 4 * 86400),
    length=st.integers(1, 4 * 86400),
)
def test_planning_looks_at_every_day_whose_instant_lies_in_its_window(
    day: date,
    year: int,
    timezone: str,
    at: time,
    leap: LeapDay,
    weekend: Weekend,
    offset: int,
    before: int,
    length: int,
) -> None:
    """A day that the planner does not look at is a lost greeting."""
    found = occurrence(day, timezone, year, at=at, leap_day=leap, weekend=weekend, offset_days=offset)
    if found.send_at is None:
        return
    starts_at = found.send_at - timedelta(seconds=min(before, length - 1))
    ends_at = starts_at + timedelta(seconds=length)
    rules = PlanningRules(at, leap, (OccasionRow("birthday", "Hey", None, None, weekend, offset),))
    occasion_day = OccasionDay("birthday", year, day.month * 100 + day.day)

    assert occasion_day in days(rules, starts_at, ends_at)
    plan_range = PlanRange(occasion_day, None, None, starts_at, ends_at)
    assert (timezone, found.send_at) in instants(rules, plan_range)
    assert (timezone, found.send_at, found.rule) in occurrences(rules, occasion_day, starts_at, ends_at)


@thorough
@given(
    day=DATES,
    timezone=ZONES,
    weekend=st.sampled_from(Weekend),
    offset=OFFSETS,
    now=st.integers(0, 3652).map(lambda days: datetime(2020, 1, 1, 9, tzinfo=UTC) + days * DAY),
)
def test_an_edit_finds_the_instant_of_today_whichever_year_its_day_is_of(
    day: date, timezone: str, weekend: Weekend, offset: int, now: datetime
) -> None:
    """With an offset over New Year, day and greeting are of different years."""
    rules = PlanningRules(time(9), LeapDay.FEB28, (OccasionRow("birthday", "Hey", None, None, weekend, offset),))
    desired = desired_messages(rules, {"birthday": day}, timezone, now=now)

    known = {one.local_year: one.send_at for one in desired}

    for year in range(now.year - 3, now.year + 4):
        send_at = occurrence(day, timezone, year, weekend=weekend, offset_days=offset).send_at
        assert send_at is not None
        if abs(send_at - now) < timedelta(days=3):
            assert known[year] == send_at


@pytest.mark.parametrize(
    ("day", "year", "weekend", "offset", "local"),
    [
        ("1990-01-01", 2027, Weekend.KEEP, -3, "2026-12-29"),
        ("1990-12-30", 2026, Weekend.KEEP, 60, "2027-02-28"),
        ("1990-01-02", 2027, Weekend.BEFORE, 0, "2027-01-01"),
        ("1990-01-01", 2028, Weekend.BEFORE, 0, "2027-12-31"),
        ("1990-12-31", 2028, Weekend.AFTER, 0, "2029-01-01"),
        ("2000-02-29", 2027, Weekend.BEFORE, 0, "2027-02-26"),
        ("2000-02-29", 2027, Weekend.AFTER, 1, "2027-03-01"),
    ],
)  # fmt: skip
def test_a_day_may_move_into_another_year(day: str, year: int, weekend: Weekend, offset: int, local: str) -> None:
    found = occurrence(date.fromisoformat(day), "UTC", year, weekend=weekend, offset_days=offset)

    assert found.local is not None
    assert found.local.date() == date.fromisoformat(local)


@pytest.mark.parametrize(("day", "year", "offset"), [("2000-01-01", 1, -1), ("2000-12-31", 9999, 1)])
def test_a_day_that_moves_out_of_the_calendar_has_no_instant(day: str, year: int, offset: int) -> None:
    with pytest.raises(OutOfRange):
        occurrence(date.fromisoformat(day), "UTC", year, offset_days=offset)
