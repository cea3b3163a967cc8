"""How slow the email service has to be for the wave to last as long as the faults do: every fault shall meet work."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_GUESS = 14.0
"""Seconds that a fault takes with its recovery, until some were seen."""

SHARE_OF_TIMEOUT = 0.35
"""The slowest answer, as a share of the time-out of a call: slower ones would be faults of their own."""

QUICKEST = 0.02
"""Seconds of an answer once the faults are over."""

RESERVE = 1.3
"""By how much more time than expected the wave has to last."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`calls` may be under way at once over all nodes; the slowest answer takes `slowest` seconds."""

    calls: int
    slowest: float

    def latency(self, *, greetings: int, faults: int, each: float) -> tuple[float, float]:
        """The range of seconds of an answer, with so many greetings and faults to come that take `each` seconds."""
        if faults == 0 or greetings == 0:
            return QUICKEST, QUICKEST
        wanted = self.calls * faults * each * RESERVE / greetings
        middle = min(self.slowest, max(QUICKEST, wanted))
        return middle * 0.8, middle * 1.2


def concurrency(greetings: int, faults: int, nodes: int, timeout: float) -> int:
    """Calls of one node at a time with which the wave lasts long enough at the slowest pace."""
    seconds = max(1, faults) * FIRST_GUESS * RESERVE
    return min(50, max(1, round(greetings * timeout * SHARE_OF_TIMEOUT / (seconds * nodes))))
