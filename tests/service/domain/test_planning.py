"""Which messages are planned, and when they are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from service.domain.calendar import DayRules, LeapDay
from service.domain.occasions import OccasionRow
from service.domain.planning import (
    HORIZON,
    DesiredMessage,
    OccasionDay,
    PlanningRules,
    PlanRange,
    days,
    desired_messages,
    horizon,
    instants,
)

BIRTHDAY = OccasionRow("birthday", "Hey, {full_name}", None, None)
ANNIVERSARY = OccasionRow("anniversary", "Hey, {full_name}", None, None)
NAME_DAY = OccasionRow("name_day", "Hey, {first_name}", time(18), "skip")
NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)


def rules(*occasions: OccasionRow, leap_day: LeapDay = LeapDay.FEB28) -> PlanningRules:
    return PlanningRules(time(9), leap_day, occasions or (BIRTHDAY,))


def a_range(occasion: str, month_day: int, starts_at: datetime, hours: int) -> PlanRange:
    return PlanRange(
        OccasionDay(occasion, starts_at.year, month_day), None, None, starts_at, starts_at + timedelta(hours=hours)
    )


def test_an_occasion_decides_for_itself_and_the_node_for_the_others() -> None:
    """A null follows the settings, also when they change."""
    found = rules(BIRTHDAY, NAME_DAY, leap_day=LeapDay.MAR1)

    assert found.of("birthday") == DayRules(time(9), LeapDay.MAR1)
    assert found.of("name_day") == DayRules(time(18), LeapDay.SKIP)
    with pytest.raises(LookupError, match="wedding"):
        found.of("wedding")


@pytest.mark.parametrize("after", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=59, seconds=59)])
def test_nodes_that_ask_within_an_hour_plan_up_to_the_same_instant(after: timedelta) -> None:
    """Otherwise each node would announce a small range of its own."""
    assert horizon(NOON + after) == NOON + HORIZON


def test_the_horizon_is_ahead_of_every_run_of_the_daily_job() -> None:
    """If one run is missed, a day is left to notice it."""
    late = NOON - timedelta(microseconds=1)

    assert horizon(late) - late > timedelta(hours=47)
    assert horizon(NOON) - horizon(late) == timedelta(hours=1)


def test_a_window_has_every_day_of_every_occasion_that_may_be_due_in_it() -> None:
    """At noon in Greenwich it is 09:00 of the 14th in the west, and soon of the 15th in the east."""
    found = days(rules(BIRTHDAY, ANNIVERSARY), NOON, NOON + timedelta(hours=24))

    assert {day.occasion for day in found} == {"birthday", "anniversary"}
    for occasion in ("birthday", "anniversary"):
        assert {314, 315} <= {day.month_day for day in found if day.occasion == occasion}
    assert [(day.local_year, day.month_day) for day in found] == sorted(
        (day.local_year, day.month_day) for day in found
    )
    assert len(found) == len(set(found))


def test_around_new_year_a_window_has_days_of_both_years() -> None:
    """In Kiritimati the year begins half a day earlier than in Greenwich."""
    found = days(rules(), datetime(2026, 12, 31, 12, tzinfo=UTC), datetime(2027, 1, 1, 12, tzinfo=UTC))

    assert {OccasionDay("birthday", 2026, 1231), OccasionDay("birthday", 2027, 101)} <= set(found)


def test_no_window_has_no_days() -> None:
    """A stopped clock announces nothing."""
    assert days(rules(), NOON, NOON) == []


def test_the_instants_of_a_range_are_those_within_its_window() -> None:
    """Each zone's 09:00 lies in exactly one of two adjacent windows."""
    first = dict(instants(rules(), a_range("birthday", 314, NOON - timedelta(hours=12), 12)))
    second = dict(instants(rules(), a_range("birthday", 314, NOON, 12)))

    assert first["Europe/London"] == datetime(2027, 3, 14, 9, tzinfo=UTC)
    assert second["America/New_York"] == datetime(2027, 3, 14, 13, tzinfo=UTC)
    assert first.keys().isdisjoint(second)
    assert all(NOON - timedelta(hours=12) <= at < NOON for at in first.values())
    assert all(NOON <= at < NOON + timedelta(hours=12) for at in second.values())


def test_the_instants_follow_the_occasions_own_time_of_day() -> None:
    """Here it is nine hours after that of birthdays."""
    found = dict(instants(rules(BIRTHDAY, NAME_DAY), a_range("name_day", 314, NOON, 12)))

    assert found["Europe/London"] == datetime(2027, 3, 14, 18, tzinfo=UTC)


def test_a_leap_day_that_is_skipped_has_no_instants_in_a_common_year() -> None:
    """The occasion's own rule decides, not that of the node."""
    start = datetime(2027, 2, 27, tzinfo=UTC)

    moved = instants(rules(BIRTHDAY, NAME_DAY), a_range("birthday", 229, start, 96))
    skipped = instants(rules(BIRTHDAY, NAME_DAY), a_range("name_day", 229, start, 96))

    assert dict(moved)["UTC"] == datetime(2027, 2, 28, 9, tzinfo=UTC)
    assert skipped == []


def test_a_users_days_are_wanted_in_last_this_and_the_next_year() -> None:
    """On New Year's Eve a local year has begun in one zone, and has not ended in another."""
    found = desired_messages(rules(), {"birthday": date(1990, 7, 1)}, "Europe/Paris", now=NOON)

    assert found == [
        DesiredMessage("birthday", year, datetime(year, 7, 1, 7, tzinfo=UTC))  # Paris is at +02:00 in July
        for year in (2026, 2027, 2028)
    ]


def test_a_date_that_was_removed_is_wanted_in_no_year() -> None:
    """Each year is listed, so that its planned message is cancelled."""
    found = desired_messages(
        rules(BIRTHDAY, ANNIVERSARY), {"birthday": None, "anniversary": date(2020, 1, 2)}, "UTC", now=NOON
    )

    assert [one for one in found if one.occasion == "birthday"] == [
        DesiredMessage("birthday", year, None) for year in (2026, 2027, 2028)
    ]
    assert all(one.send_at is not None for one in found if one.occasion == "anniversary")


def test_an_occasion_that_is_not_active_is_wanted_in_no_year() -> None:
    """What was planned before may not be cancelled yet, and planning finds it by the user's date."""
    inactive = replace(BIRTHDAY, active=False)

    found = desired_messages(rules(inactive), {"birthday": date(1990, 7, 1)}, "UTC", now=NOON)

    assert found == [DesiredMessage("birthday", year, None) for year in (2026, 2027, 2028)]


def test_a_leap_day_that_is_skipped_is_wanted_in_leap_years_only() -> None:
    """2028 is one."""
    found = desired_messages(rules(leap_day=LeapDay.SKIP), {"birthday": date(1992, 2, 29)}, "UTC", now=NOON)

    assert [one.send_at for one in found] == [None, None, datetime(2028, 2, 29, 9, tzinfo=UTC)]


def test_a_year_that_the_calendar_does_not_reach_has_no_instant() -> None:
    """A business clock at the last year must not cause a crash."""
    now = datetime(9999, 6, 1, tzinfo=UTC)

    found = desired_messages(rules(), {"birthday": date(1990, 7, 1)}, "UTC", now=now)

    assert [(one.local_year, one.send_at is None) for one in found] == [(9998, False), (9999, False), (10000, True)]
