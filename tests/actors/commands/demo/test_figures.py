"""When a day of the demo can be judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.commands.demo.days import Day
from actors.commands.demo.figures import Counts, Figures

DAY = Day(1, datetime(2026, 11, 23, 18, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("planned_until", "waiting", "settled"),
    [
        (DAY.end, 0, True),
        (DAY.end, 1, False),
        (DAY.end - timedelta(minutes=1), 0, False),
    ],
)
def test_a_day_is_settled_when_it_is_planned_and_nothing_is_open(
    planned_until: datetime, waiting: int, settled: bool
) -> None:
    """On a busy machine half of a day was judged before it was planned, and counted as lost."""
    figures = Figures({"UTC": Counts(waiting=waiting, sent=2)}, planned_until=planned_until)

    assert figures.is_settled(DAY) == settled
