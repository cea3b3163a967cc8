"""Checks docs/SCALING.md: its tables are the tool's output, and the arithmetic of a day is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtest import scaling
from loadtest.scaling import play, rate
from tests.loadtest.conftest import Call

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"^    \$ python -m (loadtest\.scaling.*)\n((?:    .*\n|\n)+)",
    (ROOT / "docs" / "SCALING.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_page_prints_what_the_tool_prints(call: Call, command: str, printed: str) -> None:
    """A changed rate must change the page."""
    answered = call(scaling.main, *command.split()[1:])

    wanted = [line.removeprefix("    ") for line in printed.rstrip().splitlines()]
    assert (answered.code, answered.said.splitlines()) == (0, wanted)
    assert len(EXAMPLES) == 3


def test_a_wave_that_is_not_gone_delays_the_next() -> None:
    """The rest of Tokyo's wave leaves before Shanghai's."""
    fast, slow = play(100_000, 10_000.0), play(100_000, 1.0)

    assert fast.latest == pytest.approx(fast.largest / 10_000)
    assert slow.latest > slow.largest
    assert slow.latest <= 100_000


def test_the_slowest_part_decides() -> None:
    """More nodes than the email service can serve do not help."""
    few, many = (rate(nodes=nodes, calls=100, latency=0.1, email_rate=500.0) for nodes in (1, 10))

    assert min(few.values()) == min(many.values()) == 500.0
    assert many["nodes"] == 10 * few["nodes"]
