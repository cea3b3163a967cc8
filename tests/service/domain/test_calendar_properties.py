"""Properties of the calendar for every zone and every date."""

from datetime import UTC, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.calendar import LeapDay, Rule, occurrence
from service.domain.zones import zone, zone_names
from tests.service.domain.reference import TIMES, ZONES, days, expected

DAY = timedelta(days=1)
quick = settings(max_examples=120, derandomize=True, deadline=None)


@quick
@given(data=st.data(), timezone=ZONES, at=TIMES)
def test_the_rule_and_the_instant_are_those_of_the_plain_reference(
    data: st.DataObject, timezone: str, at: time
) -> None:
    """The reference shares no code with the calendar, and uses no function of `zoneinfo` from local time to UTC."""
    day = data.draw(days(timezone))

    found = occurrence(day, timezone, day.year, at=at)

    assert (found.rule, found.send_at) == expected(day, timezone, at)


@quick
@given(data=st.data(), timezone=ZONES, at=TIMES, leap_day=st.sampled_from(LeapDay))
def test_the_local_time_is_the_intended_one_except_by_rule(
    data: st.DataObject, timezone: str, at: time, leap_day: LeapDay
) -> None:
    """On a local clock the greeting is on time or, in a gap, later. It is never early."""
    day = data.draw(days(timezone))

    found = occurrence(day, timezone, day.year, at=at, leap_day=leap_day)

    assert found.send_at is not None
    assert found.local is not None
    assert found.send_at.tzinfo is UTC
    shown = found.local.replace(tzinfo=None)
    assert shown == found.send_at.astimezone(zone(timezone)).replace(tzinfo=None)
    intended = datetime.combine(day, at)
    if found.rule in (Rule.EXACT, Rule.OVERLAP):
        assert shown == intended
    elif found.rule is Rule.MISSING_DATE:
        assert shown == intended + DAY
    else:
        assert found.rule is Rule.GAP
        assert intended < shown <= intended + DAY
        just_before = (found.send_at - timedelta(seconds=1)).astimezone(zone(timezone)).replace(tzinfo=None)
        assert just_before < intended


@quick
@given(data=st.data(), timezone=ZONES, at=TIMES)
def test_a_later_date_has_a_later_instant(data: st.DataObject, timezone: str, at: time) -> None:
    """Greetings leave in the order of their dates. Only a missing date shares the instant of the next."""
    day = data.draw(days(timezone))

    today = occurrence(day, timezone, day.year, at=at)
    tomorrow = occurrence(day + DAY, timezone, (day + DAY).year, at=at)

    assert today.send_at is not None
    assert tomorrow.send_at is not None
    if today.rule is Rule.MISSING_DATE:
        assert today.send_at == tomorrow.send_at
    else:
        assert today.send_at < tomorrow.send_at


@quick
@given(data=st.data(), timezone=ZONES, at=TIMES, year=st.integers(1900, 2200), leap_day=st.sampled_from(LeapDay))
def test_the_year_of_the_date_does_not_change_the_instant(
    data: st.DataObject, timezone: str, at: time, year: int, leap_day: LeapDay
) -> None:
    """Planner, edits and recovery compute an instant again and again."""
    day = data.draw(days(timezone))
    same_day_of_a_leap_year = day.replace(year=2000)

    first = occurrence(day, timezone, year, at=at, leap_day=leap_day)

    assert occurrence(day, timezone, year, at=at, leap_day=leap_day) == first
    assert occurrence(same_day_of_a_leap_year, timezone, year, at=at, leap_day=leap_day) == first


def test_every_zone_has_one_instant_for_every_day_of_a_year() -> None:
    """Each instant is within 26 hours of 09:00 UTC of its date."""
    new_year = datetime(2027, 1, 1, 9, tzinfo=UTC)

    for timezone in zone_names():
        for n in range(0, 365, 5):
            noon = new_year + n * DAY
            send_at = occurrence(noon.date(), timezone, 2027).send_at
            assert send_at is not None
            assert abs(send_at - noon) <= timedelta(hours=14)
