"""Load and stress: runs scenarios on real servers, and writes a report with plots and a verdict for each.

    python -m loadtest                                   # lists the scenarios and their duration
    python -m loadtest api-mixed soak --minutes 10       # runs these, with ten minutes of traffic
    python -m loadtest quick --minutes 1                 # runs a set: quick or all
    python -m loadtest all --to build/load               # writes the report there

Every scenario starts its own servers. If a limit is exceeded, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import uvloop

from loadtest.stress.page import Ran, page, verdict
from loadtest.stress.registry import SCENARIOS, SETS
from loadtest.stress.scenario import Check, Outcome, Scenario, Setting


async def perform(scenario: Scenario, place: Path, minutes: float | None) -> Ran:
    """Run one scenario. A scenario that raises has failed, and the following ones still run."""
    began = time.monotonic()
    try:
        outcome = await scenario.run(Setting(place, (scenario.traffic or 0.0) if minutes is None else minutes))
    except Exception:  # every error belongs in the report
        said = traceback.format_exc()
        sys.stderr.write(said)
        outcome = Outcome((Check("the scenario itself", "raised an exception", "runs", good=False),), f"```\n{said}```")
    return Ran(scenario, outcome, time.monotonic() - began)


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names and sets, each once. Raises SystemExit for an unknown name."""
    if unknown := [name for name in names if name not in SCENARIOS and name not in SETS]:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join((*SCENARIOS, *SETS))}")
    return [SCENARIOS[one] for one in dict.fromkeys(one for name in names for one in SETS.get(name, (name,)))]


def listing(minutes: float | None) -> str:
    """Return the list of scenarios and sets as text."""
    width = max(map(len, SCENARIOS))
    lines = [f"  {name:<{width}} {one.length(minutes):>4.0f} min  {one.does}" for name, one in SCENARIOS.items()]
    sets = [
        f"  {name:<{width}} {sum(SCENARIOS[one].length(minutes) for one in names):>4.0f} min  {' '.join(names)}"
        for name, names in SETS.items()
    ]
    return "\n".join(["scenarios:", *lines, "sets:", *sets, ""])


def main() -> None:
    """Run the chosen scenarios, or list all."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="scenarios and sets; none: list them")
    parser.add_argument("--minutes", type=float, help="minutes of traffic, for scenarios without a length of their own")
    parser.add_argument("--to", type=Path, default=Path("build/load"), help="directory of the report (%(default)s)")
    args = parser.parse_args()
    if args.minutes is not None and args.minutes <= 0:
        parser.error("--minutes must be greater than 0")
    if not args.names:
        sys.stdout.write(listing(args.minutes))
        return
    place: Path = args.to.absolute()
    place.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m loadtest", *args.names, *([f"--minutes {args.minutes:g}"] if args.minutes else [])])
    ran: list[Ran] = []
    for scenario in chosen(args.names):
        sys.stderr.write(f"{scenario.name}: about {scenario.length(args.minutes):.0f} min\n")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ran.append(runner.run(perform(scenario, place, args.minutes)))
        sys.stdout.write(f"{scenario.name}: {verdict(ran[-1].outcome)} in {ran[-1].seconds:.0f} s\n")
        for check in ran[-1].outcome.checks:
            mark = "  " if check.good else "! "
            sys.stdout.write(f"  {mark}{check.what}: {check.found} ({check.limit})\n")
        sys.stdout.flush()
        # Written after each scenario, so that an early end keeps the results so far.
        (place / "report.md").write_text(page(ran, place, command=command), encoding="utf-8")
    sys.stdout.write(f"report: {place / 'report.md'}\n")
    if not all(one.outcome.good for one in ran):
        sys.exit(1)


if __name__ == "__main__":
    main()
