"""Writes the report in Markdown: for each scenario the verdict, findings beside limits, figures and plots."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtest.stress.scenario import Outcome, Scenario


@dataclass(frozen=True, slots=True)
class Ran:
    """A scenario that was run, its outcome, and its seconds."""

    scenario: Scenario
    outcome: Outcome
    seconds: float


def page(ran: Sequence[Ran], place: Path, *, command: str, at: datetime | None = None) -> str:
    """Return the report for the directory `place`, which also has the plots."""
    on = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    head = [
        "# Load and stress",
        "",
        f"`{command}`, {at or datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {on}. Client, nodes and servers share the cores.",
        "",
        "| scenario | verdict | seconds | what |",
        "| --- | --- | --- | --- |",
        *(
            f"| [{one.scenario.name}](#{one.scenario.name}) | {verdict(one.outcome)} | {one.seconds:.0f} "
            f"| {one.scenario.does} |"
            for one in ran
        ),
    ]
    return "\n".join([*head, *(section(one, place) for one in ran), ""])


def section(one: Ran, place: Path) -> str:
    """Return the section of one scenario."""
    checks = (f"| {c.what} | {c.found} | {c.limit} | {'yes' if c.good else '**no**'} |" for c in one.outcome.checks)
    pictures = (f"![{plot.stem}]({plot.relative_to(place).as_posix()})" for plot in one.outcome.plots)
    parts = [
        f"## {one.scenario.name}",
        "\n".join(["| checked | found | limit | good |", "| --- | --- | --- | --- |", *checks]),
        one.outcome.text.strip(),
        "\n".join(pictures),
    ]
    return "\n" + "\n\n".join(part for part in parts if part)


def verdict(outcome: Outcome) -> str:
    """Return the verdict in one word."""
    return "passed" if outcome.good else "**failed**"
