"""What a check has to say: remarks, each well, a warning or bad, and how they are gathered and shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.ports import Unavailable

WITHIN = 10.0
"""Seconds for one check; all run at the same time."""


class Level(StrEnum):
    """How bad it is."""

    WELL = "well"
    WARNING = "warning"
    """It works, and somebody should look at it by daylight."""
    BAD = "bad"
    """It does not work, or is not safe."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found, in words that a person can act on."""

    level: Level
    text: str


def well(text: str) -> Remark:
    """It is as it should be."""
    return Remark(Level.WELL, text)


def warning(text: str) -> Remark:
    """It works, but."""
    return Remark(Level.WARNING, text)


def bad(text: str) -> Remark:
    """It must be mended."""
    return Remark(Level.BAD, text)


Check = Callable[[], Awaitable[Sequence[Remark]]]


@dataclass(frozen=True, slots=True)
class Examined:
    """What the check `name` found, and in how many seconds."""

    name: str
    remarks: tuple[Remark, ...]
    seconds: float

    @property
    def level(self) -> Level:
        """The worst."""
        return max((one.level for one in self.remarks), key=list(Level).index, default=Level.WELL)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "check": self.name,
            "level": self.level,
            "seconds": round(self.seconds, 3),
            "remarks": [{"level": one.level, "text": one.text} for one in self.remarks],
        }

    def as_lines(self) -> list[str]:
        """For people."""
        marks = {Level.WELL: "ok  ", Level.WARNING: "warn", Level.BAD: "BAD "}
        return [self.name, *(f"  {marks[one.level]} {one.text}" for one in self.remarks)]


async def examine(name: str, check: Check, *, within: float = WITHIN) -> Examined:
    """Make the check; a server that is away, or does not answer in time, is a finding and no failure."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(within):
            remarks = tuple(await check())
    except TimeoutError:
        remarks = (bad(f"no answer within {within:g} s"),)
    except Unavailable as error:
        remarks = (bad(str(error)),)
    return Examined(name, remarks, time.perf_counter() - began)
