"""Whether one version is slower than another: their ratios to the bare loop, from files of `loadtest.wave --json`.

    python -m loadtest.regression --before before-*.json --after after-*.json

Both were measured in turn on one machine. A rate depends on that machine and on its neighbours; the ratio of heyday to
the bare loop of the same round much less, and the median of all rounds less again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from loadtest.wave import Round

MAY_BE_SLOWER = 0.15
"""Part of the ratio that may be lost before it counts: less would be noise, more would let a regression pass."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of rounds: heyday's greetings/s and processor time as parts of the bare loop's; and its duplicates."""

    speed: float
    cpu: float
    duplicates: float

    @classmethod
    def of(cls, rounds: list[Round]) -> Figures:
        """Those of these rounds."""

        def ratio(figure: str) -> float:
            return statistics.median(one["heyday"][figure] / one["bare"][figure] for one in rounds)

        duplicates = sum(one["heyday"]["duplicates"] for one in rounds)
        return cls(ratio("perSecond"), ratio("cpuMicroseconds"), duplicates)


def verdict(before: Figures, after: Figures) -> list[str]:
    """What has become worse than it may; nothing if all is well."""
    found = []
    if after.speed < before.speed * (1 - MAY_BE_SLOWER):
        found.append(f"slower: {after.speed:.2f} of the bare loop, {before.speed:.2f} before")
    if after.cpu > before.cpu / (1 - MAY_BE_SLOWER):
        found.append(f"dearer: {after.cpu:.2f} of the bare loop's processor time, {before.cpu:.2f} before")
    if after.duplicates:
        found.append(f"{after.duplicates:.0f} greetings accepted twice")
    return found


def main() -> None:
    """Print a Markdown table; the exit code is 1 if something has become worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    before, after = (
        Figures.of([one for file in files for one in json.loads(file.read_text(encoding="utf-8"))])
        for files in (args.before, args.after)
    )
    found = verdict(before, after)
    lines = (
        "| of the bare loop | before | after |",
        "| --- | --- | --- |",
        f"| greetings/s | {before.speed:.2f} | {after.speed:.2f} |",
        f"| processor time a greeting | {before.cpu:.2f} | {after.cpu:.2f} |",
        "",
        *(found or ["No slower."]),
        "",
    )
    sys.stdout.write("\n".join(lines))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
