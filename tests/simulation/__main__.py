"""Runs seeds: one with its story (`--seed 4711 --verbose`), or many over all cores (`--seeds 20000 --from 0`)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import visited
from tests.simulation.scenario import Verdict, kinds_of_events, simulate


def main(arguments: list[str] | None = None) -> int:
    """0 when every guarantee held, and a long run has visited everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--only", nargs="+", default=(), metavar="KIND", help="in --seed: events of these kinds only")
    parser.add_argument("--verbose", action="store_true", help="print every event of --seed")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="run so many (default: 200)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="N", help="beginning with this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--visited", action="store_true", help="print how often each arc, step and fault was visited")
    args = parser.parse_args(arguments)
    if args.seed is not None:
        return _one(args.seed, verbose=args.verbose, only=args.only)
    return _many(range(args.first, args.first + args.seeds), jobs=args.jobs, table=args.visited)


def _one(seed: int, *, verbose: bool, only: Sequence[str]) -> int:
    verdict = simulate(seed, keep_trace=verbose, only=only)
    _say(*verdict.trace)
    _tell(verdict)
    return 1 if verdict.violations else 0


def _many(seeds: range, *, jobs: int, table: bool) -> int:
    began = time.monotonic()
    states: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    stories: Counter[str] = Counter()
    virtual, accepted, broken = 0.0, 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for verdict in pool.map(simulate, seeds, chunksize=10):
            states.update(verdict.states)
            virtual += verdict.seconds
            accepted += verdict.accepted
            visits.update(verdict.visited)
            stories.update(name for name, count in verdict.visited.items() if count)
            if verdict.violations:
                broken += 1
                _tell(verdict)
    _say(
        f"{len(seeds)} seeds from {seeds.start}: {broken} broke a guarantee; {accepted} greetings accepted, "
        f"{virtual / 3600:.1f} h of virtual time in {time.monotonic() - began:.0f} s",
        ", ".join(f"{count} {state}" for state, count in states.most_common()),
    )
    kinds = kinds_of_events()
    if table:
        _say(f"{'':40} {'visits':>9} {'stories':>7}", *visited.table(visits, stories, kinds))
    never = visited.missing(visits, kinds)
    long = len(seeds) >= visited.ENOUGH_SEEDS
    if never and (table or long):
        _say("never visited: " + ", ".join(never))
    return 1 if broken or (never and long) else 0


def _tell(verdict: Verdict) -> None:
    if verdict.violations:
        _say(f"seed {verdict.seed} broke {len(verdict.violations)}:", *(f"  {what}" for what in verdict.violations[:5]))
        _say(f"  its story: python -m tests.simulation --seed {verdict.seed} --verbose")
    else:
        _say(f"seed {verdict.seed}: {verdict.states} after {verdict.seconds:.0f} s")


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
