"""The examples of docs/explanation/calendar.md are correct."""

import json
import re
from datetime import time
from pathlib import Path

import pytest

from actors.commands.when import answer
from service.domain.calendar import LeapDay, Rule

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "calendar.md"
EXAMPLE = re.compile(
    r"^\$ echo '(?P<question>\{.*\})' \|(?P<settings>(?: HEYDAY_\w+=\S+)*) heyday when\n(?P<answer>.*)$", re.MULTILINE
)
EXAMPLES = list(EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")))


def test_the_page_has_an_example_of_every_rule() -> None:
    """Without an example, the description of a rule is not tested."""
    assert {json.loads(example["answer"]).get("rule") for example in EXAMPLES} >= set(Rule)
    assert len(EXAMPLES) == PAGE.read_text(encoding="utf-8").count("$ echo")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["question"])
def test_an_example_answers_what_the_page_says(example: re.Match[str]) -> None:
    """Readers copy examples."""
    settings = dict(setting.split("=") for setting in example["settings"].split())
    at = time.fromisoformat(settings.pop("HEYDAY_SEND_AT", "09:00"))
    leap_day = LeapDay(settings.pop("HEYDAY_LEAP_DAY", "feb28"))

    found = answer(example["question"].encode(), at, leap_day)

    assert settings == {}
    assert found.decode() == example["answer"] + "\n"
