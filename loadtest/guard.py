"""Compares the ratios of runs of loadtest/wave.py with earlier ones, and fails if heyday became slower.

    python -m loadtest.wave --rounds 9 --json waves.json
    python -m loadtest.guard waves.json
    python -m loadtest.guard waves.json --accept
    python -m loadtest.guard after-*.json --before before-*.json

The earlier ones are the baseline beside this tool, or runs of another version (--before), best measured
alternately on one machine. Only ratios to the bare loop of the same round are compared: the rate (higher is
better), and the node's processor time per greeting (lower is better), which depends little on other work of the
machine. The noise of both decides what counts as a change: three standard errors of the difference, and 5 % at
least. With --accept the runs become the baseline. Exit code 1: slower; 2: a case is missing, or the noise could hide a
change of a third.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from loadtest.figures import noise

BASELINE = Path(__file__).with_name("baseline.json")

SIGMAS = 3.0
"""Standard errors from which a difference is significant."""

MIN_TOLERANCE = 0.05
"""Relative change that is always tolerated."""

TOO_NOISY = 1 / 3
"""Tolerance above which a comparison has no result."""


class Verdict(IntEnum):
    """The result of a comparison; its value is the exit code."""

    AS_GOOD = 0
    SLOWER = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of a ratio over the rounds of a run, and its standard error relative to it."""

    median: float
    noise: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Return the figure of these rounds."""
        return cls(statistics.median(values), noise(values))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One ratio of one case before and now. `change` is relative, and positive for an improvement."""

    what: str
    then: Figure
    now: Figure
    change: float

    @property
    def tolerance(self) -> float:
        """Return the relative change that the noise can cause."""
        return max(MIN_TOLERANCE, SIGMAS * math.hypot(self.then.noise, self.now.noise))

    @property
    def verdict(self) -> Verdict:
        """Return SLOWER if the ratio is worse by more than the tolerance."""
        if self.tolerance > TOO_NOISY:
            return Verdict.UNKNOWN
        return Verdict.SLOWER if self.change < -self.tolerance else Verdict.AS_GOOD

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.then.median:.3f} -> {self.now.median:.3f} ({self.change:+.1%}, "
            f"tolerance {self.tolerance:.1%}): {self.verdict.name.lower().replace('_', ' ')}"
        )


Ratios = Mapping[str, Mapping[str, Figure]]
"""By case, and by ratio: `rate` and `cpu`."""


def read_runs(texts: Iterable[str]) -> Ratios:
    """Return the ratios from files of loadtest/wave.py; all rounds of a case in several files count."""
    rates: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, list[float]] = defaultdict(list)
    for one in (one for text in texts for one in json.loads(text)):
        rates[one["name"]] += one["ratios"]
        cpu[one["name"]] += one["cpuRatios"]
    return {name: {"rate": Figure.of(rates[name]), "cpu": Figure.of(cpu[name])} for name in rates}


def read_baseline(text: str) -> Ratios:
    """Return the ratios of a baseline."""
    kept: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return {name: {what: Figure(**figure) for what, figure in figures.items()} for name, figures in kept.items()}


def write_baseline(ratios: Ratios) -> str:
    """Return the ratios as a baseline. Raises ValueError if a run has too few rounds to estimate its noise."""
    figures = [figure for case in ratios.values() for figure in case.values()]
    if any(math.isinf(figure.noise) for figure in figures):
        raise ValueError("a baseline needs three rounds at least, to know its noise")
    kept = {name: {what: asdict(figure) for what, figure in case.items()} for name, case in ratios.items()}
    return json.dumps(kept, indent=1) + "\n"


def compare(then: Ratios, now: Ratios) -> list[Comparison]:
    """Return the comparison of every ratio that both have."""
    found = []
    for name in then.keys() & now.keys():
        for what in ("rate", "cpu"):
            before, after = then[name][what], now[name][what]
            change = after.median / before.median - 1 if what == "rate" else before.median / after.median - 1
            found.append(Comparison(f"{name}, {what}", before, after, change))
    return sorted(found, key=lambda one: one.what)


def judge(then: Ratios, now: Ratios) -> Verdict:
    """Return slower if any case is; else unknown if a case, or every case, could not be compared."""
    verdicts = {one.verdict for one in compare(then, now)}
    if Verdict.SLOWER in verdicts:
        return Verdict.SLOWER
    known = verdicts == {Verdict.AS_GOOD} and not then.keys() - now.keys()
    return Verdict.AS_GOOD if known else Verdict.UNKNOWN


def main() -> None:
    """Compare, and exit with the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="files of loadtest.wave --json")
    parser.add_argument("--before", type=Path, nargs="+", help="files of another version, instead of the baseline")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="(%(default)s)")
    parser.add_argument("--accept", action="store_true", help="make these runs the baseline")
    args = parser.parse_args()
    now = read_runs(file.read_text(encoding="utf-8") for file in args.runs)
    if args.accept:
        try:
            args.baseline.write_text(write_baseline(now), encoding="utf-8")
        except ValueError as mistake:
            sys.exit(str(mistake))
        return
    if args.before:
        then = read_runs(file.read_text(encoding="utf-8") for file in args.before)
    else:
        then = read_baseline(args.baseline.read_text(encoding="utf-8"))
    lines = [str(one) for one in compare(then, now)]
    lines += [f"{name}: not measured" for name in sorted(then.keys() - now.keys())]
    sys.stdout.write("\n".join([*lines, ""]))
    sys.exit(judge(then, now))


if __name__ == "__main__":
    main()
