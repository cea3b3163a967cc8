"""Tests the verdict and the arguments of loadtest.outages; its cases run servers and nodes for minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest import outages
from loadtest.outages import CASES, Found
from tests.loadtest.conftest import Call

ROOT = Path(__file__).parents[2]
GOOD = Found("a case", due=60, sent=60, failed=0, unknown=0, wrong=0, refused=100, seconds=1.0)


@pytest.mark.parametrize("worse", [{"sent": 59}, {"failed": 1}, {"unknown": 1}, {"wrong": 1}])
def test_a_greeting_that_was_not_sent_once_fails_the_case(worse: dict[str, Any]) -> None:
    """Calls that the service does not accept are no mistake."""
    assert GOOD.good
    assert not replace(GOOD, **worse).good


@pytest.mark.parametrize("words", [["no-such-case"], ["throttle", "--scale", "0"], ["throttle", "--size", "-1"]])
def test_a_wrong_argument_is_refused_before_a_server_starts(call: Call, words: list[str]) -> None:
    """A run takes minutes."""
    done = call(outages.main, *words)

    assert (done.code, done.said) == (2, "")
    assert "expected" in done.complaints or "must be greater" in done.complaints


def test_the_page_names_every_case() -> None:
    """The table of the page is the output of a run."""
    page = (ROOT / "docs" / "explanation" / "testing.md").read_text(encoding="utf-8")

    assert [name for name in CASES if f"| {name}: " not in page] == []
