"""Checks the branch coverage in a report of coverage.py, whose own limit counts lines as well.

python -m tests.branches build/coverage/coverage.json --floor 85
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def summary(report: dict[str, Any]) -> tuple[float, list[str]]:
    """Return the percentage of taken branches, and a line per package."""
    there, taken = Counter[str](), Counter[str]()
    for name, file in report["files"].items():
        package = ".".join(Path(name).parent.parts[:2])
        there[package] += file["summary"]["num_branches"]
        taken[package] += file["summary"]["covered_branches"]
    lines = [
        f"{package:<24} {taken[package]:>5} of {count:>5} branches  {100 * taken[package] / count:5.1f} %"
        for package, count in sorted(there.items())
        if count
    ]
    return 100 * taken.total() / there.total(), lines


def main() -> None:
    """Print the coverage; the exit code is 1 if it is below the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--floor", type=float, default=0.0, help="per cent of the branches")
    args = parser.parse_args()
    taken, lines = summary(json.loads(args.report.read_text(encoding="utf-8")))
    sys.stdout.write("\n".join([*lines, f"in all {taken:.1f} % of the branches, at least {args.floor:g} %", ""]))
    sys.exit(taken < args.floor)


if __name__ == "__main__":
    main()
