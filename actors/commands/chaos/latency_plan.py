"""Plans the latency of the email service, so that the wave lasts as long as the faults: each fault must meet work."""

from __future__ import annotations

from dataclasses import dataclass

SHARE_OF_TIMEOUT = 0.35
"""The slowest answer, as a share of the time-out of a call. Slower answers would be faults of their own."""

QUICKEST = 0.02
"""Seconds of an answer after the last fault."""

RESERVE = 1.3
"""Factor by which the wave lasts longer than the faults are expected to take."""


@dataclass(frozen=True, slots=True)
class LatencyPlan:
    """All nodes together make `calls` calls at a time. The slowest answer takes `slowest` seconds."""

    calls: int
    slowest: float

    def latency(self, *, greetings: int, seconds: float) -> tuple[float, float]:
        """The range of the latency in seconds, with which this number of greetings lasts for `seconds`."""
        if seconds == 0 or greetings == 0:
            return QUICKEST, QUICKEST
        wanted = self.calls * seconds * RESERVE / greetings
        middle = min(self.slowest, max(QUICKEST, wanted))
        return middle * 0.8, middle * 1.2


def pace(took: float, expected: float) -> float:
    """The factor by which faults take longer here than expected. Quick faults do not make slow ones quick."""
    return max(1.0, took / expected) if expected else 1.0


def concurrency(greetings: int, seconds: float, nodes: int, timeout: float) -> int:
    """Calls of one node at a time, so that the wave lasts for `seconds` at the slowest latency."""
    calls = greetings * timeout * SHARE_OF_TIMEOUT / (max(1.0, seconds) * RESERVE * nodes)
    return min(50, max(1, round(calls)))
