"""Medians of alternating rounds, ratios within a round, and their standard errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Round = dict[str, dict[str, float]]
"""The figures of one round by `bare` and `heyday`, then by name."""

_TO_SIGMA = 1.4826
"""Factor from a median absolute deviation to a standard deviation; it is robust against outliers."""

_OF_MEDIAN = 1.2533
"""Ratio of the standard error of a median to that of a mean."""


def median(rounds: Sequence[Round], who: str, figure: str) -> float:
    """Return the median of one figure; NaN if it was not measured."""
    values = [one[who][figure] for one in rounds if figure in one[who]]
    return statistics.median(values) if values else math.nan


def ratios(rounds: Sequence[Round], figure: str) -> list[float]:
    """Return heyday's figure divided by the bare loop's of the same round."""
    return [one["heyday"][figure] / one["bare"][figure] for one in rounds]


def noise(values: Sequence[float]) -> float:
    """Return the relative standard error of the median of these values; infinite for fewer than three."""
    if len(values) < 3:
        return math.inf
    middle = statistics.median(values)
    deviation = _TO_SIGMA * statistics.median(abs(value - middle) for value in values)
    return _OF_MEDIAN * deviation / math.sqrt(len(values)) / middle
