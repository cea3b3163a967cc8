"""Draws the order of the faults from a seed, and leaves out those that are impossible here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from actors.commands.chaos.faults import KINDS, Fault, Need


@dataclass(frozen=True, slots=True)
class Skipped:
    """A kind of fault that was requested and not rehearsed, and the reason."""

    name: str
    reason: str


def draw_schedule(names: Sequence[str], each: int, seed: int) -> list[Fault]:
    """Each of these faults `each` times, shuffled. A fault draws from the seed and its position alone."""
    chance = Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    drawn = [name for name in names for _ in range(each)]
    chance.shuffle(drawn)
    return [KINDS[name](Random(f"{seed}:{place}:{name}")) for place, name in enumerate(drawn)]  # noqa: S311 - as above


def possible(faults: Sequence[Fault], lacking: Mapping[Need, str]) -> tuple[list[Fault], list[Skipped]]:
    """Split into the possible faults, in their order, and the kinds that are impossible."""
    skipped = {
        fault.name: next(lacking[need] for need in fault.needs if need in lacking)
        for fault in faults
        if any(need in lacking for need in fault.needs)
    }
    return [fault for fault in faults if fault.name not in skipped], [Skipped(*one) for one in sorted(skipped.items())]
