"""Tests dates whose year may be unknown, and language tags."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from service.domain.dates import MonthDay, is_first_year, parse_day, stored_date
from service.domain.languages import language_tag
from service.domain.occasions import OccasionRow
from service.domain.planning import CalendarDefaults, PlanningRules, desired_messages
from service.domain.windows import days_of_interest

RULES = PlanningRules(
    CalendarDefaults().send_at, CalendarDefaults().leap_day, (OccasionRow("birthday", "Hey", None, None),)
)


@pytest.mark.parametrize("text", ["1990-05-01", "--05-01", "--02-29", "2000-02-29", "--12-31"])
def test_a_date_is_written_as_it_was_read(text: str) -> None:
    """A client gets back what it sent."""
    assert str(parse_day(text)) == text


@pytest.mark.parametrize(
    "text", ["--02-30", "--13-01", "--00-10", "-05-01", "05-01", "1999-02-29", "--5-1", "--٠٥-٠١", ""]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """This includes impossible days and other spellings."""
    with pytest.raises(ValueError):  # noqa: PT011 - of three kinds
        parse_day(text)


def test_a_day_without_a_year_is_stored_in_a_leap_year() -> None:
    """29 February exists then, and the year is before every greeting."""
    assert stored_date(MonthDay(2, 29)) == date(4, 2, 29)
    assert stored_date(date(1990, 5, 1)) == date(1990, 5, 1)


def test_only_a_known_year_keeps_a_greeting_back() -> None:
    """A child born today is greeted next year. An unknown year has no such effect."""
    assert is_first_year(date(2026, 5, 1), 2026)
    assert not is_first_year(date(2026, 5, 1), 2027)
    assert not is_first_year(MonthDay(5, 1), 2026)


def test_a_day_without_a_year_is_due_every_year() -> None:
    """29 February follows the leap-day rule."""
    found = desired_messages(RULES, {"birthday": MonthDay(2, 29)}, "UTC", now=datetime(2027, 1, 1, tzinfo=UTC))

    assert [str(one.send_at) for one in found] == [
        "2026-02-28 09:00:00+00:00",
        "2027-02-28 09:00:00+00:00",
        "2028-02-29 09:00:00+00:00",
    ]
    assert days_of_interest(datetime(2027, 2, 28, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("de", "de"),
        ("DE-at", "de-AT"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-rozaj-biske", "sl-rozaj-biske"),
        ("de-CH-1996", "de-CH-1996"),
        ("en-u-ca-buddhist", "en-u-ca-buddhist"),
        ("en-x-mine", "en-x-mine"),
    ],
)
def test_a_language_tag_is_kept_in_its_recommended_spelling(given: str, kept: str) -> None:
    """Two spellings of one language find the same text."""
    assert language_tag(given) == kept


@pytest.mark.parametrize(
    "text", ["", "d", "de_AT", "de-", "-de", "de--AT", "deutsch-", "de-AT-", "日本", "d" * 36, "abcdefghi"]
)
def test_what_is_no_language_tag_is_refused(text: str) -> None:
    """Only the form is checked, because the registry has 8,000 languages."""
    assert language_tag(text) is None
