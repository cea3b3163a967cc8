"""Medians of alternating rounds, ratios within a round, and how far they can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Round = dict[str, dict[str, float]]
"""What was measured in one round: by `bare` and by `heyday`, each figure by its name."""

_TO_SIGMA = 1.4826
"""A median absolute deviation times this estimates a standard deviation, whatever a few outliers do."""

_OF_MEDIAN = 1.2533
"""How much wider a median scatters than a mean of as many."""


def median(rounds: Sequence[Round], who: str, figure: str) -> float:
    """The median of one figure; NaN where it was not measured."""
    values = [one[who][figure] for one in rounds if figure in one[who]]
    return statistics.median(values) if values else math.nan


def ratios(rounds: Sequence[Round], figure: str) -> list[float]:
    """heyday's figure divided by the bare loop's of the same round."""
    return [one["heyday"][figure] / one["bare"][figure] for one in rounds]


def noise(values: Sequence[float]) -> float:
    """The standard error of the median of these values, relative to it; infinite for fewer than three."""
    if len(values) < 3:
        return math.inf
    middle = statistics.median(values)
    deviation = _TO_SIGMA * statistics.median(abs(value - middle) for value in values)
    return _OF_MEDIAN * deviation / math.sqrt(len(values)) / middle
