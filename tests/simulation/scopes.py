"""Walks every order of steps of a small world, with every combination of up to so many faults. Nothing is sampled.

    python -m tests.simulation.scopes --nodes 2 --messages 2 --faults 2

A state that was reached before with as many faults left is not entered again, because the same future follows from it.
So the walk ends, and the number of its states is printed. A run is a list of choices; it is repeated from the start.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from tests.simulation.loop import BEGIN
from tests.simulation.small_world import LONGEST_RUN, LONGEST_WAIT, Choice, SmallWorld, quick


@dataclass
class Walk:
    """The result of a walk. `whole` is False when it, or one of its runs, ended at a limit."""

    states: int = 0
    runs: int = 0
    ends: int = 0
    whole: bool = True
    outcomes: set[str] = field(default_factory=set)
    """Rows, attempts and acceptances at each end of a run that had no choices left, as text."""
    broken: list[tuple[list[str], list[str]]] = field(default_factory=list)
    """The choices of each run that broke a guarantee, and the sentences about it."""


@dataclass(frozen=True)
class Scope:
    """How much is walked. `only` keeps the faults whose names contain it; `apart` gives each message its own bundle."""

    nodes: int
    messages: int
    faults: int
    only: str = ""
    apart: bool = False


def walk(scope: Scope, *, until_broken: int = 1, most_runs: int | None = None) -> Walk:
    """Walk breadth-first: the runs with the earliest deviations come first."""
    seen: dict[bytes, int] = {}
    found = Walk()
    queue: deque[tuple[int, ...]] = deque([()])
    with _quietly(apart=scope.apart):
        while queue:
            if most_runs is not None and found.runs >= most_runs:
                found.whole = False
                break
            _run(queue.popleft(), queue, seen, found, scope)
            if len(found.broken) >= until_broken:
                found.whole = False
                break
    found.states = len(seen)
    return found


def _run(
    prefix: tuple[int, ...],
    queue: deque[tuple[int, ...]],
    seen: dict[bytes, int],
    found: Walk,
    scope: Scope,
) -> None:
    """Repeat the choices of `prefix`, then take the first choice each time, and queue the others."""
    world, faults = SmallWorld(nodes=scope.nodes, messages=scope.messages), scope.faults
    found.runs += 1
    path: list[int] = []
    names: list[str] = []
    asyncio.events._set_running_loop(world.loop)
    try:
        world.start()
        last_choice = world.loop.time()
        while not world.wrong:
            if world.loop.time() - BEGIN > LONGEST_RUN:
                found.whole = False
                break
            if not world.possible:
                if world.ended or not world.alive or world.loop.time() - last_choice > LONGEST_WAIT:
                    break
                world.pass_time()
                continue
            last_choice = world.loop.time()
            choices = _to_walk(world.choices(), scope.only, faults)
            if len(path) >= len(prefix):
                state = world.state()
                if seen.get(state, -1) >= faults:
                    return
                seen[state] = faults
                queue.extend((*path, other) for other in range(1, len(choices)))
            taken = prefix[len(path)] if len(path) < len(prefix) else 0
            choice = choices[taken]
            path.append(taken)
            names.append(choice.name)
            faults -= choice.fault
            choice.happens()
        if not world.wrong:
            world.finish()
        found.ends += 1
        found.outcomes.add(world.outcome())
        if world.wrong:
            found.broken.append((names, world.wrong))
    finally:
        asyncio.events._set_running_loop(None)
        world.close()


def follow(scope: Scope, names: Sequence[str]) -> list[str]:
    """Make the choices of these names, let everything settle, and return the sentences about what broke."""
    with _quietly(apart=scope.apart):
        world = SmallWorld(nodes=scope.nodes, messages=scope.messages)
        asyncio.events._set_running_loop(world.loop)
        try:
            world.start()
            for name in names:
                while not world.possible:
                    world.pass_time()
                next(choice for choice in world.choices() if choice.name == name).happens()
            if not world.wrong:
                world.finish()
            return world.wrong
        finally:
            asyncio.events._set_running_loop(None)
            world.close()


def _to_walk(choices: list[Choice], only: str, faults: int) -> list[Choice]:
    """Return the choices from which every state is reached that can break a guarantee."""
    if not faults:
        choices = [one for one in choices if not one.fault]
        return next(([one] for one in choices if one.commutes), choices)
    return [one for one in choices if not one.fault or only in one.name]


@contextmanager
def _quietly(*, apart: bool) -> Iterator[None]:
    """Log nothing, and share what does not matter."""

    def drop(*_: Any) -> Any:
        raise structlog.DropEvent

    logging = structlog.get_config()
    structlog.configure(processors=[drop], cache_logger_on_first_use=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            quick(patch, apart=apart)
            yield
    finally:
        structlog.configure(**logging)


def main(arguments: list[str] | None = None) -> int:
    """0 when the whole scope was walked and every guarantee held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.scopes", description=__doc__)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--messages", type=int, default=1)
    parser.add_argument("--faults", type=int, default=1, help="at most so many (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="faults whose names contain this text only")
    parser.add_argument("--apart", action="store_true", help="each message has a bundle of its own")
    parser.add_argument("--runs", type=int, metavar="N", help="end after so many, with exit code 1")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    scope = Scope(args.nodes, args.messages, args.faults, args.only, args.apart)
    gc.freeze()  # what was imported stays: to look at it again and again took a quarter of the time
    found = walk(scope, most_runs=args.runs)
    for names, violations in found.broken:
        print("broken by:", *names, sep="\n  ")  # noqa: T201
        print(*violations, sep="\n")  # noqa: T201
    print(  # noqa: T201
        f"{found.states} states in {found.runs} runs, {found.ends} of them to the end, {time.monotonic() - began:.0f} s"
        + ("" if found.whole else "; not walked whole")
    )
    return 0 if found.whole and not found.broken else 1


if __name__ == "__main__":
    sys.exit(main())
