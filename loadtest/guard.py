"""Compares the ratios of runs of loadtest/wave.py with those of earlier ones, and fails when heyday got slower.

    python -m loadtest.wave --rounds 9 --json waves.json
    python -m loadtest.guard waves.json
    python -m loadtest.guard waves.json --accept
    python -m loadtest.guard after-*.json --before before-*.json

The earlier ones are the baseline that is kept beside this tool, or runs of another version (--before), best measured in
turn with these on one machine. Only ratios to the bare loop of the same round are compared: the rate (higher is
better), and the processor time of a greeting in the node (lower is better), which hardly follows what else the machine
does. What counts as a change follows from the noise of both: three standard errors of the difference, and 5 % at
least. With --accept the runs become the baseline. Exit code 1: slower; 2: a case is missing, or the noise would hide a
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
"""Standard errors of a difference that is no accident."""

LEAST = 0.05
"""Relative change that is let pass however quiet the machine is."""

TOO_NOISY = 1 / 3
"""Tolerance above which a comparison says nothing."""


class Verdict(IntEnum):
    """What a comparison came to; its value is the exit code."""

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
        """The figure of these rounds."""
        return cls(statistics.median(values), noise(values))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One ratio of one case then and now. `change` is relative, and positive when it got better."""

    what: str
    then: Figure
    now: Figure
    change: float

    @property
    def tolerance(self) -> float:
        """The relative change that the noise may make."""
        return max(LEAST, SIGMAS * math.hypot(self.then.noise, self.now.noise))

    @property
    def verdict(self) -> Verdict:
        """Whether it got worse by more than the tolerance."""
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
    """The ratios in what loadtest/wave.py wrote; of a case that is in several, all rounds count."""
    rates: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, list[float]] = defaultdict(list)
    for one in (one for text in texts for one in json.loads(text)):
        rates[one["name"]] += one["ratios"]
        cpu[one["name"]] += one["cpuRatios"]
    return {name: {"rate": Figure.of(rates[name]), "cpu": Figure.of(cpu[name])} for name in rates}


def read_baseline(text: str) -> Ratios:
    """The ratios of a baseline."""
    kept: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return {name: {what: Figure(**figure) for what, figure in figures.items()} for name, figures in kept.items()}


def write_baseline(ratios: Ratios) -> str:
    """The ratios as a baseline. Raises ValueError for a run of too few rounds to know its noise."""
    figures = [figure for case in ratios.values() for figure in case.values()]
    if any(math.isinf(figure.noise) for figure in figures):
        raise ValueError("a baseline needs three rounds at least, to know its noise")
    kept = {name: {what: asdict(figure) for what, figure in case.items()} for name, case in ratios.items()}
    return json.dumps(kept, indent=1) + "\n"


def compare(then: Ratios, now: Ratios) -> list[Comparison]:
    """Every ratio that both have."""
    found = []
    for name in then.keys() & now.keys():
        for what in ("rate", "cpu"):
            before, after = then[name][what], now[name][what]
            change = after.median / before.median - 1 if what == "rate" else before.median / after.median - 1
            found.append(Comparison(f"{name}, {what}", before, after, change))
    return sorted(found, key=lambda one: one.what)


def judge(then: Ratios, now: Ratios) -> Verdict:
    """Slower if anything is; unknown if anything could not be compared."""
    verdicts = {one.verdict for one in compare(then, now)}
    if Verdict.SLOWER in verdicts:
        return Verdict.SLOWER
    return Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts or then.keys() - now.keys() else Verdict.AS_GOOD


def main() -> None:
    """Compare, and exit with the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="what loadtest.wave --json wrote")
    parser.add_argument("--before", type=Path, nargs="+", help="the same of another version, instead of the baseline")
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
