"""Results of a check: each is ok, a warning or an error. `run_check` turns every failure of a check into a result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.ports import Unavailable

CHECK_TIMEOUT = 10.0
"""Seconds for one check. All checks run at the same time."""


class Level(StrEnum):
    """Severity of a result."""

    OK = "ok"
    WARNING = "warning"
    """It works. Look at it during working hours."""
    ERROR = "error"
    """It does not work, or it is not safe."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One finding in words that a person can act on. `unusable` names a server that can be asked nothing more."""

    level: Level
    text: str
    unusable: str | None = None


def ok(text: str) -> CheckResult:
    """Make a result of level `ok`."""
    return CheckResult(Level.OK, text)


def warning(text: str) -> CheckResult:
    """Make a result of level `warning`."""
    return CheckResult(Level.WARNING, text)


def error(text: str, *, unusable: str | None = None) -> CheckResult:
    """Make a result of level `error`."""
    return CheckResult(Level.ERROR, text, unusable)


Check = Callable[[], Awaitable[Sequence[CheckResult]]]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All results of the check `name`, and its duration in seconds."""

    name: str
    results: tuple[CheckResult, ...]
    seconds: float

    @property
    def level(self) -> Level:
        """The highest level of the results."""
        return max((one.level for one in self.results), key=list(Level).index, default=Level.OK)

    def as_json(self) -> dict[str, object]:
        """The report as a JSON object."""
        return {
            "check": self.name,
            "level": self.level,
            "seconds": round(self.seconds, 3),
            "results": [{"level": one.level, "text": one.text} for one in self.results],
        }

    def as_lines(self) -> list[str]:
        """The report as text: the name, then a line for each result."""
        marks = {Level.OK: "ok   ", Level.WARNING: "warn ", Level.ERROR: "ERROR"}
        return [self.name, *(f"  {marks[one.level]} {one.text}" for one in self.results)]


async def run_check(
    name: str, check: Check, *, within: float = CHECK_TIMEOUT, server: str | None = None
) -> CheckReport:
    """Run the check for up to `within` seconds.

    A server that is away, slow or refuses a command gives a result of level `error`. `server` is the one that the check
    waits for if it gets no answer in time; None: it is not known.
    """
    began = time.perf_counter()
    results = tuple(await _attempt(check, within, server))
    return CheckReport(name, results, time.perf_counter() - began)


async def run_part(subject: str, check: Check) -> list[CheckResult]:
    """Run one part of a check. If a server denies it, the result says so, and the other parts still run.

    Raises Unavailable and TimeoutError: they concern every part.
    """
    try:
        return list(await check())
    except (Unavailable, TimeoutError):
        raise
    except Exception as failure:  # a server may deny any command in its own words
        return [error(f"{subject}: cannot be checked: {first_line(failure)}")]


async def _attempt(check: Check, within: float, server: str | None) -> Sequence[CheckResult]:
    try:
        async with asyncio.timeout(within):
            return await check()
    except TimeoutError:
        return (error(f"no answer within {within:g} s", unusable=server),)
    except Unavailable as failure:
        return (error(str(failure), unusable=failure.system),)
    except Exception as failure:  # the other checks must still be shown
        return (error(f"cannot be checked: {first_line(failure)}"),)


def first_line(failure: BaseException) -> str:
    """The class of an exception and the first line of its message, which is the server's own sentence."""
    lines = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {lines[0]}" if lines else type(failure).__name__
