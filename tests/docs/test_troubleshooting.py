"""Checks docs/TROUBLESHOOTING_GUIDE.md: its log events and problems exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

from service.api.http.problems import KINDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "TROUBLESHOOTING_GUIDE.md").read_text(encoding="utf-8")
LOGS = (ROOT / "docs" / "reference" / "logs.md").read_text(encoding="utf-8")
"""This page lists event names that the code composes."""


def code() -> str:
    return "".join(
        path.read_text(encoding="utf-8") for top in ("actors", "service") for path in (ROOT / top).rglob("*.py")
    )


def first_cells(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    part = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line[:3] == "| `"]


def test_every_line_that_is_explained_is_logged_with_the_fields_that_are_named() -> None:
    """An operator searches the log for it."""
    source = code()

    for cells in first_cells("Lines in the log")[1:]:
        for event in re.findall(r"`(\w+)`", cells[0]):
            assert f'"{event}"' in source or f"`{event}`" in LOGS, event
    for line in re.findall(r"^    (\{.*\})$", TEXT, re.MULTILINE):
        shown = json.loads(line)
        calls = re.findall(rf'log\.\w+\("{shown["event"]}", (.*)\)', source)
        assert list(shown)[: list(shown).index("event")] in [re.findall(r"(\w+)=", call) for call in calls]


def test_every_problem_that_is_explained_exists_with_its_status() -> None:
    """Clients look up a problem by its type."""
    rows = first_cells("Answers of the API")[1:]

    assert len(rows) >= 10
    for cells in rows:
        for slug in re.findall(r"`([\w-]+)`", cells[0]):
            assert KINDS[slug].status == int(cells[1])
