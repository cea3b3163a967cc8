"""Tests of the verdict of loadtest/upgrade.py."""

from __future__ import annotations

import pytest

from loadtest.upgrade import faults

FINE: dict[str, float] = {
    "migrations": 1, "sentByOld": 900, "sentByNew": 100, "notInOrder": 0, "crashes": 0, "lost": 0, "notSent": 0,
    "repeated": 2, "afterUnknown": 20, "early": 0,
}  # fmt: skip


def test_calls_that_are_repeated_after_unknown_outcomes_are_no_fault() -> None:
    """A node is killed on purpose, so the outcomes of its calls are unknown."""
    assert faults(FINE) == []


@pytest.mark.parametrize(
    ("figure", "value"),
    [("lost", 1), ("early", 1), ("notSent", 1), ("crashes", 1), ("notInOrder", 1), ("repeated", 21)],
)
def test_what_must_not_be_is_a_fault(figure: str, value: int) -> None:
    """Each condition fails the upgrade."""
    assert len(faults({**FINE, figure: value})) == 1


@pytest.mark.parametrize("version", ["sentByOld", "sentByNew"])
def test_a_version_that_sent_nothing_was_not_beside_the_other(version: str) -> None:
    """A wave that one version sent alone shows nothing."""
    assert faults({**FINE, version: 0}) == [f"{version}: nothing"]
