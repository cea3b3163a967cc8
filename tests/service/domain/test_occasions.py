"""Which occasions are valid."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time
from typing import Any

import pytest

from service.domain.calendar import LeapDay, Weekend
from service.domain.occasions import BIRTHDAY, DEFAULTS, Occasion, StoredOccasion, is_code, understand
from service.domain.texts import Text

HEY = Text("Hello", "Hey")


@pytest.mark.parametrize("occasion", DEFAULTS)
def test_the_occasions_that_heyday_comes_with_have_no_mistake(occasion: Occasion) -> None:
    assert occasion.mistakes() == []


@pytest.mark.parametrize("code", ["birthday", "a", "name_day", "day2", "a" * 32])
def test_codes_are_lower_case_words(code: str) -> None:
    """A code is a value in SQL, JSON and metrics, and part of field names."""
    assert is_code(code)
    assert Occasion(code, HEY).mistakes() == []


@pytest.mark.parametrize("code", ["", "Birthday", "2day", "_day", "name-day", "name day", "a" * 33, "jubiläum", "a\n"])
def test_any_other_code_is_refused(code: str) -> None:
    """This needs `fullmatch`: a code with a line break at its end would break line protocols."""
    assert not is_code(code)
    assert [field for field, _ in Occasion(code, HEY).mistakes()] == ["code"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"send_at": time(9, tzinfo=UTC)}, "sendAt"),
        ({"send_at": time(9, 0, 0, 1)}, "sendAt"),
        ({"offset_days": 61}, "offsetDays"),
        ({"offset_days": -61}, "offsetDays"),
        ({"texts": {"de": Text(None, "Hallo {name}")}}, "texts.de.text"),
        ({"texts": {"de_AT": HEY}}, "texts.de_AT"),
        ({"texts": {"DE": HEY}}, "texts.DE"),
        ({"texts": {f"a{chr(97 + n % 26)}-{n:03}": HEY for n in range(101)}}, "texts"),
        ({"default": Text("Hello", "Dear {name")}, "text"),
    ],
)
def test_every_mistake_is_found_with_its_field(wrong: dict[str, Any], field: str) -> None:
    assert [name for name, _ in replace(BIRTHDAY, **wrong).mistakes()] == [field]


def test_a_stored_occasion_is_understood_with_its_rules() -> None:
    """A new occasion needs only data."""
    (row,), problems = understand([StoredOccasion("name_day", "Hi", "07:30:00", "mar1", "after", -3, False)])

    assert problems == ()
    assert (row.send_at, row.leap_day, row.weekend) == (time(7, 30), LeapDay.MAR1, Weekend.AFTER)
    assert (row.offset_days, row.active) == (-3, False)


@pytest.mark.parametrize(
    "stored", [("A", "Hi"), ("eve", "Hi", "24:00"), ("eve", "Hi", None, "soon"), ("eve", "Hi", None, None, "never")]
)
def test_what_is_not_understood_leaves_out_its_own_occasion(stored: tuple[Any, ...]) -> None:
    rows, (problem,) = understand([StoredOccasion("birthday", "Hey"), StoredOccasion(*stored)])

    assert [row.code for row in rows] == ["birthday"]
    assert (problem.code, problem.left_out) == (stored[0], True)


@pytest.mark.parametrize("texts", ["[1]", "null", '{"de": 5}', '{"de": {"subject": "x"}}', '{"de": {"text": 1}}'])
def test_texts_of_another_shape_leave_out_their_own_occasion(texts: str) -> None:
    """They would stop the statement that claims messages of it."""
    rows, (problem,) = understand([StoredOccasion("birthday", "Hey"), StoredOccasion("eve", "Hi", texts=texts)])

    assert [row.code for row in rows] == ["birthday"]
    assert (problem.code, problem.left_out) == ("eve", True)
    assert problem.sentence.startswith("texts")


def test_one_that_is_left_out_takes_no_json_field() -> None:
    """Otherwise it would leave out another one."""
    rows, problems = understand([StoredOccasion("day1", "Hi", texts="[]"), StoredOccasion("day_1", "Hi")])

    assert ([row.code for row in rows], [one.code for one in problems]) == (["day_1"], ["day1"])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"template_with_years": "{bad"}, "text"),
        ({"subject": ""}, "subject"),
        ({"texts": '{"de": {"text": "{bad"}}'}, "texts.de.text"),
    ],
)
def test_every_text_that_cannot_be_rendered_is_named(wrong: dict[str, Any], field: str) -> None:
    (row,), (problem, *_) = understand([StoredOccasion("birthday", "Hey", **wrong)])

    assert (row.code, problem.left_out) == ("birthday", False)
    assert problem.sentence.startswith(f"{field}: ")


def test_a_template_that_cannot_be_rendered_is_a_problem_that_leaves_nothing_out() -> None:
    (row,), (problem,) = understand([StoredOccasion("birthday", "Hey {name}")])

    assert (row.code, problem.left_out) == ("birthday", False)
    assert "column 5" in problem.sentence
