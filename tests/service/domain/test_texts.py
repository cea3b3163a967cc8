"""Texts: which are valid, which one a user gets, and how it is filled in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.occasions import ANNIVERSARY, BIRTHDAY
from service.domain.texts import (
    MAX_SUBJECT,
    MAX_TEXT,
    InvalidText,
    Text,
    lookup,
    mistake,
    mistakes,
    render,
    text_for,
    uses_years,
)


def test_the_default_greetings_are_worded_as_agreed() -> None:
    """Clients compare these texts letter by letter."""
    assert render(BIRTHDAY.default.text, "Ada", "Lovelace") == "Hey, Ada Lovelace it's your birthday"
    assert render(ANNIVERSARY.default.text, "Ada", "Lovelace") == "Hey, Ada Lovelace it's your anniversary"


@settings(max_examples=100, derandomize=True)
@given(first=st.text(), last=st.text())
def test_any_name_appears_in_the_greeting_as_it_is(first: str, last: str) -> None:
    """No part of a name is read as a template."""
    assert render("{first_name}|{last_name}|{full_name}", first, last) == f"{first}|{last}|{first} {last}"


@pytest.mark.parametrize("name", ["{0.__class__}", "{full_name}", "{{}}", "{", "}", "%s", "{first_name!r:>9999999}"])
def test_braces_in_a_name_stay_as_they_are(name: str) -> None:
    """Inserted text must not be formatted again."""
    assert render("{first_name} {last_name}", name, name) == f"{name} {name}"


def test_a_person_with_one_name_has_that_name_without_a_space() -> None:
    assert render("{full_name}|{first_name}|{last_name}", "Suharto", None) == "Suharto|Suharto|"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{{first_name}}}", "{Ada}"),
        ("{{first_name}}", "{first_name}"),
        ("{years} years, {first_name}", "36 years, Ada"),
        ("{{years}}", "{years}"),
        ("100% {last_name}: \N{PARTY POPPER}", "100% Lovelace: \N{PARTY POPPER}"),
        ("no name at all", "no name at all"),
    ],
)
def test_doubled_braces_are_braces(template: str, text: str) -> None:
    """A text may contain braces."""
    assert render(template, "Ada", "Lovelace", 36) == text


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
        "x" * (MAX_TEXT + 1),
    ],
)
def test_a_text_with_anything_else_in_braces_or_no_text_is_refused(template: str) -> None:
    """The error comes when the text is written, not at 09:00. A template has no access to attributes."""
    assert mistake(template) is not None
    with pytest.raises(InvalidText):
        render(template, "Ada", "Lovelace")


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("Dear {name", "`Dear {name`, column 6: expected {full_name}"),
        ("{full_name}} hello", "`{full_name}} hello`, column 12:"),
        ("Dear {first_name},\n\nall {best", "line 3, column 5:"),
        ("{years}{}", "column 8:"),
        ("a" * 100 + "{x}", "`" + "a" * 30 + "{x}`, column 101:"),
    ],
)
def test_a_mistake_is_described_with_its_place(template: str, place: str) -> None:
    assert place in (mistake(template) or "")


@pytest.mark.parametrize("subject", ["Hi\nBcc: all@a.test", "a\rb", "tab\t", "\x85", "\u2028", "x" * 201, "", " "])
def test_a_subject_is_one_short_line(subject: str) -> None:
    """It becomes a header of an email."""
    assert mistake(subject, years=False, one_line=True) is not None
    assert MAX_SUBJECT == 200


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (Text("Hi", "Hey"), []),
        (Text("Hi", "{years}", "Hey"), []),
        (Text("Hi", "{years}"), ["textWithoutYears"]),
        (Text("Hi", "{years}", "Hey {years}"), ["textWithoutYears"]),
        (Text("Hi", "{{years}}", "Hey"), ["textWithoutYears"]),
        (Text("Hi {years}", "Hey"), ["subject"]),
        (Text(None, "Hey"), ["subject"]),
        (Text("", "Hey {"), ["subject", "text"]),
    ],
)
def test_a_text_with_years_has_an_alternative_without(text: Text, fields: list[str]) -> None:
    """The year of a date may be unknown."""
    assert [field for field, _ in mistakes(text, default=True)] == fields


def test_a_text_by_language_may_leave_the_subject_to_the_default() -> None:
    assert mistakes(Text(None, "Hallo"), default=False) == []
    default = Text("Happy birthday", "Hey")

    assert text_for(default, {"de": Text(None, "Hallo")}, "de-AT") == ("de", Text("Happy birthday", "Hallo"))
    assert text_for(default, {"de": Text("Zum Tag", "Hallo")}, "fr") == (None, default)


@pytest.mark.parametrize(
    ("locale", "found"),
    [
        ("de-AT", "de-AT"),
        ("de-at", "de-AT"),
        ("de-CH", "de"),
        ("de-AT-1996", "de-AT"),
        ("de", "de"),
        ("den", None),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-Hans-CN", None),
        ("zh-Hant-x-private", "zh-Hant"),
        ("fr", None),
        ("", None),
        (None, None),
    ],
)
def test_the_longest_form_of_the_locale_that_has_a_text_is_found(locale: str | None, found: str | None) -> None:
    """RFC 4647, 3.4."""
    assert lookup(locale, ["de", "de-AT", "zh-Hant"]) == found


def test_only_the_placeholder_counts_as_years() -> None:
    assert uses_years("{first_name}{{{years}}}")
    assert not uses_years("{{years}} years")


def test_the_text_without_years_is_for_unknown_years() -> None:
    text = Text("Hi", "{years} years", "Hey")

    assert (text.template(30), text.template(None)) == ("{years} years", "Hey")
    assert Text("Hi", "Hey").template(30) == "Hey"
