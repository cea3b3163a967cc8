"""Instants computed elsewhere, which heyday must reproduce."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from service.domain.calendar import occurrence

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("time_cases.json").read_bytes())


def test_the_table_of_cases_is_complete() -> None:
    """With an empty or shortened table the test below would pass without testing."""
    assert len(CASES) == 38
    assert len({case["id"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_send_at_is_what_the_table_says(case: dict[str, Any]) -> None:
    """The table has half-hour zones, both sides of the date line, clock changes and leap days."""
    found = occurrence(date.fromisoformat(case["date"]), case["timezone"], case["year"])

    assert found.send_at == datetime.fromisoformat(case["send_at"])
    assert found.send_at is not None
    assert found.send_at.tzinfo is UTC
