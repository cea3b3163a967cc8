"""Finds leaks: fits a line through the readings after a warm-up, and compares it with a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

WARM_UP = 1 / 3
"""Share of the time at the start that is ignored: caches fill, pools open, the allocator grows."""

Curve = Sequence[tuple[float, float]]
"""Pairs of seconds and value."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A leak is a line that rises by more than `per_hour`, and by more than `step` over the measured time.

    A single growth below `step`, such as one more arena of the allocator, is not a leak. In a short run such a step
    would be a large slope. So a run of an hour finds slopes above `per_hour`, a shorter run those above `finds`.
    """

    unit: str
    per_hour: float
    step: float


MEMORY = Limit("MB", per_hour=12.0, step=4.0)
FILES = Limit("files", per_hour=150.0, step=100.0)
"""Open files vary with the connections to the email service, of which there may be 100."""
THREADS = Limit("threads", per_hour=6.0, step=2.0)


@dataclass(frozen=True, slots=True)
class Growth:
    """The line through a curve: its rise per hour, over the `seconds` after the warm-up."""

    limit: Limit
    per_hour: float
    seconds: float
    most: float

    @property
    def leaks(self) -> bool:
        """Return True if the line rises by more than the limit."""
        return self.per_hour > self.finds

    @property
    def finds(self) -> float:
        """Return the smallest rise per hour that this run would call a leak."""
        return max(self.limit.per_hour, self.limit.step / self.seconds * 3600)


def growth(curve: Curve, limit: Limit) -> Growth:
    """Return the least-squares line of a curve. Raises ValueError for fewer than ten readings after the warm-up."""
    begin = curve[0][0] + (curve[-1][0] - curve[0][0]) * WARM_UP if curve else 0.0
    seen = [(at, value) for at, value in curve if at >= begin]
    if len(seen) < 10:
        raise ValueError(f"{len(seen)} looks are too few for a line")
    slope = linear_regression([at for at, _ in seen], [value for _, value in seen]).slope
    return Growth(limit, slope * 3600, seen[-1][0] - seen[0][0], max(value for _, value in seen))
