"""Occasions: what is accepted as one, and how its greeting is worded."""

from datetime import UTC, time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.calendar import LeapDay
from service.domain.occasions import ANNIVERSARY, BIRTHDAY, InvalidOccasion, Occasion, is_code, render


def test_the_default_greetings_are_worded_as_agreed() -> None:
    """Clients compare these texts letter by letter."""
    assert render(BIRTHDAY.template, "Ada", "Lovelace") == "Hey, Ada Lovelace it's your birthday"
    assert render(ANNIVERSARY.template, "Ada", "Lovelace") == "Hey, Ada Lovelace it's your anniversary"


@settings(max_examples=100, derandomize=True)
@given(first=st.text(), last=st.text())
def test_any_name_appears_in_the_greeting_as_it_is(first: str, last: str) -> None:
    """Names are data: nothing in them is ever read as part of the template."""
    assert render("{first_name}|{last_name}|{full_name}", first, last) == f"{first}|{last}|{first} {last}"


@pytest.mark.parametrize("name", ["{0.__class__}", "{full_name}", "{{}}", "{", "}", "%s", "{first_name!r:>9999999}"])
def test_braces_in_a_name_stay_as_they_are(name: str) -> None:
    """Text inserted by a format must not be formatted again."""
    assert render("{first_name} {last_name}", name, name) == f"{name} {name}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{{first_name}}}", "{Ada}"),
        ("{{first_name}}", "{first_name}"),
        ("100% {last_name}: \N{PARTY POPPER}", "100% Lovelace: \N{PARTY POPPER}"),
        ("no name at all", "no name at all"),
    ],
)
def test_doubled_braces_are_braces(template: str, text: str) -> None:
    """A template can say everything, braces included."""
    assert render(template, "Ada", "Lovelace") == text


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{}",
        "{0}",
        "{email}",
        "{full_name.__class__}",
        "{full_name[0]}",
        "{full_name!r}",
        "{full_name:>10}",
        "{full_name:}",
        "{ full_name }",
        "{FULL_NAME}",
        "{{full_name}",
        "{full_name}}",
        "{full_name:{first_name}}",
        "",
        " \n",
        "nul \0",
        "half a character \ud83d",
    ],
)
def test_a_template_with_anything_else_in_braces_or_no_text_is_refused(template: str) -> None:
    """Found when the configuration is read, not at the first greeting; and looked into no object by a template."""
    with pytest.raises(InvalidOccasion):
        Occasion("birthday", template)
    with pytest.raises(InvalidOccasion):
        render(template, "Ada", "Lovelace")


@pytest.mark.parametrize("code", ["birthday", "a", "name_day", "day2", "a" * 32])
def test_codes_are_lower_case_words(code: str) -> None:
    """A code is a value in SQL, JSON and metrics, and part of the names of fields."""
    assert is_code(code)
    assert Occasion(code, "Hey").code == code


@pytest.mark.parametrize("code", ["", "Birthday", "2day", "_day", "name-day", "name day", "a" * 33, "jubiläum", "a\n"])
def test_any_other_code_is_refused(code: str) -> None:
    """`fullmatch`, not `match`: a code that ends in a line break would break the line protocols it is written to."""
    assert not is_code(code)
    with pytest.raises(InvalidOccasion, match="code"):
        Occasion(code, "Hey")


@pytest.mark.parametrize(
    "wrong", [{"send_at": time(9, tzinfo=UTC)}, {"send_at": time(9, 0, 0, 1)}, {"leap_day": "feb28"}]
)
def test_times_of_day_are_naive_whole_seconds_and_leap_days_are_of_their_type(wrong: dict[str, Any]) -> None:
    """A zone would contradict the user's zone; a plain string would compare as unknown and be taken for 1 March."""
    with pytest.raises(InvalidOccasion, match=next(iter(wrong))):
        Occasion("birthday", "Hey", **wrong)


def test_an_occasion_carries_its_own_time_and_leap_day_rule() -> None:
    """Adding an occasion is adding data."""
    name_day = Occasion("name_day", "Hey, {first_name}", time(7, 30), LeapDay.MAR1)

    assert (name_day.send_at, name_day.leap_day) == (time(7, 30), LeapDay.MAR1)
