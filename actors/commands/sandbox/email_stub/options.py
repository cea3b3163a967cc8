"""Options of the fake email service: rates of faults, and durations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

_LATENCY = re.compile(r"(\d+(?:\.\d+)?)(ms|s)?(?:-(\d+(?:\.\d+)?)(ms|s)?)?")


@dataclass(frozen=True, slots=True)
class StubOptions:
    """Rates are shares of the valid requests, at most 1 together. Raises ValueError with every mistake."""

    error_rate: float = 0.0
    """Share answered with 500, every fourth of them with 503, without Retry-After."""
    hang_rate: float = 0.0
    """Share never answered and not accepted. The connection is cut after `hang_for` seconds."""
    accept_then_fail_rate: float = 0.0
    """Share accepted and recorded, whose connection is then reset without an answer."""
    latency: tuple[float, float] = (0.0, 0.0)
    """Seconds until the answer, drawn evenly from the range. A call that ends before is not accepted."""
    hang_for: float = 600.0
    rate: float = 0.0
    """Requests taken in each second; 0.5: one in two seconds. Those beyond are answered with 429. 0: no limit."""
    retry_after: int = 1
    """Seconds in the Retry-After of a 429; 0 leaves the header out."""
    status: int = 0
    """Status of every answer, such as 401; nothing is accepted. 0: off."""
    token: str = ""
    """The bearer token that a request must have; others are answered with 401. Empty: none."""
    fail_for: str = ""
    """Answer requests to addresses that begin with this text with 500. Empty: off."""
    down: bool = False
    """Answer every request with 503, without Retry-After."""
    seed: int | None = None
    """Makes the sequence of faults repeatable. None: a random sequence."""
    keep: int = 1_000_000
    """Number of acceptances in memory, about 400 bytes each. Duplicates of older ones are not noticed."""

    def __post_init__(self) -> None:
        mistakes = []
        rates = {name: getattr(self, name) for name in ("error_rate", "hang_rate", "accept_then_fail_rate")}
        mistakes += [
            f"{name} must be between 0 and 1, not {rate!r}" for name, rate in rates.items() if not 0 <= rate <= 1
        ]
        if sum(rates.values()) > 1 + 1e-9:
            mistakes.append("the three rates must not be more than 1 together")
        if not 0 <= self.latency[0] <= self.latency[1]:
            mistakes.append(f"latency must be seconds or a growing range of them, not {self.latency!r}")
        mistakes += [
            f"{name} must be a number, and not negative"
            for name in ("hang_for", "retry_after", "rate")
            if not 0 <= getattr(self, name) < inf
        ]
        if self.status and not 300 <= self.status <= 599:
            mistakes.append(f"status must be 0, or from 300 to 599, not {self.status}")
        if self.keep < 1:
            mistakes.append("keep must be at least 1")
        if mistakes:
            raise ValueError("; ".join(mistakes))

    def changed(self, changes: Mapping[str, Any]) -> StubOptions:
        """A copy with these changes, with names and values as in `as_json`. Raises ValueError."""
        values: dict[str, Any] = {}
        mistakes = []
        for name, value in changes.items():
            try:
                values[_field(name)] = _READERS[name](value)
            except KeyError:
                mistakes.append(f"{name}: unknown option")
            except (TypeError, ValueError) as wrong:
                mistakes.append(f"{name}: {wrong}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """The options with the names of `PUT /options`."""
        return {_json_name(name): value for name, value in asdict(self).items()}


def latency(value: object) -> tuple[float, float]:
    """Parse `0.05`, `50ms`, `0.05-0.2`, `50ms-200ms`, a number, or a pair of numbers, in seconds. Raises ValueError."""
    if isinstance(value, list) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    match = _LATENCY.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("expected seconds, such as 0.05, 50ms or the range 0.05-0.2")
    low, low_unit, high, high_unit = match.groups()
    first = float(low) / (1000 if (low_unit or high_unit) == "ms" else 1)
    return first, first if high is None else float(high) / (1000 if high_unit == "ms" else 1)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("expected a number")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("expected a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _seed(value: object) -> int | None:
    return None if value is None else _whole(value)


def _json_name(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _field(json_name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), json_name)


_READERS = {
    "errorRate": _number,
    "hangRate": _number,
    "acceptThenFailRate": _number,
    "latency": latency,
    "hangFor": _number,
    "rate": _number,
    "retryAfter": _whole,
    "status": _whole,
    "token": _text,
    "failFor": _text,
    "down": _truth,
    "seed": _seed,
    "keep": _whole,
}
