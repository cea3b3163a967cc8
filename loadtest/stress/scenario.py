"""What a scenario is, and what comes of it: checks, each with what was found beside its stated limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be so."""

    what: str
    found: str
    limit: str
    good: bool


def none(what: str, count: float) -> Check:
    """There must not be any."""
    return Check(what, f"{count:g}", "0", count == 0)


def at_most(what: str, found: float, limit: float, unit: str = "", *, digits: int = 0) -> Check:
    """A figure must not be greater than its limit."""
    return Check(what, f"{found:.{digits}f}{unit}", f"at most {limit:g}{unit}", found <= limit)


def at_least(what: str, found: float, limit: float, unit: str = "", *, digits: int = 0) -> Check:
    """A figure must not be less than its limit."""
    return Check(what, f"{found:.{digits}f}{unit}", f"at least {limit:g}{unit}", found >= limit)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario came to; `text` is Markdown, `plots` are files."""

    checks: tuple[Check, ...]
    text: str = ""
    plots: tuple[Path, ...] = ()

    @property
    def good(self) -> bool:
        """Whether everything was as it has to be."""
        return bool(self.checks) and all(check.good for check in self.checks)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a scenario draws its plots, and for how many minutes its traffic lasts, where it has any."""

    place: Path
    minutes: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """`does` says what happens, `takes` about how many minutes that is on two cores. `traffic` is for how many minutes
    it lasts by default, of those that `--minutes` changes; None: it has its own length."""

    name: str
    does: str
    takes: float
    run: Callable[[Setting], Awaitable[Outcome]]
    traffic: float | None = None

    def length(self, minutes: float | None) -> float:
        """About how many minutes it takes when `--minutes` says so."""
        if minutes is None or self.traffic is None:
            return self.takes
        return self.takes - self.traffic + minutes
