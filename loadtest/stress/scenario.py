"""Scenarios and their outcomes: checks, each with its finding and its limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    """One condition that must hold."""

    what: str
    found: str
    limit: str
    good: bool


def none(what: str, count: float) -> Check:
    """Return a check that a count is 0."""
    return Check(what, f"{count:g}", "0", count == 0)


def at_most(what: str, found: float, limit: float, unit: str = "", *, digits: int = 0) -> Check:
    """Return a check that a figure is at most its limit."""
    return Check(what, f"{found:.{digits}f}{unit}", f"at most {limit:g}{unit}", found <= limit)


def at_least(what: str, found: float, limit: float, unit: str = "", *, digits: int = 0) -> Check:
    """Return a check that a figure is at least its limit."""
    return Check(what, f"{found:.{digits}f}{unit}", f"at least {limit:g}{unit}", found >= limit)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a scenario; `text` is Markdown, `plots` are files."""

    checks: tuple[Check, ...]
    text: str = ""
    plots: tuple[Path, ...] = ()

    @property
    def good(self) -> bool:
        """Return True if every check holds."""
        return bool(self.checks) and all(check.good for check in self.checks)


@dataclass(frozen=True, slots=True)
class Setting:
    """The directory for a scenario's plots, and the minutes of its traffic, if it has any."""

    place: Path
    minutes: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: `does` describes it, `takes` is its approximate minutes on two cores. `traffic` is the default of
    the minutes that `--minutes` changes; None: it has its own length."""

    name: str
    does: str
    takes: float
    run: Callable[[Setting], Awaitable[Outcome]]
    traffic: float | None = None

    def length(self, minutes: float | None) -> float:
        """Return the approximate minutes with that value of `--minutes`."""
        if minutes is None or self.traffic is None:
            return self.takes
        return self.takes - self.traffic + minutes
