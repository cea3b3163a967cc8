"""Shapes of traffic: how many users there are at each moment, and how often each of them asks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

SPAWN_AT_LEAST = 1.0
"""Users a second: locust takes no less."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Users over time, in straight lines between `points` of (seconds, users); each asks `each` times a second, as
    long as answers take less than that."""

    points: tuple[tuple[float, float], ...]
    each: float = 1.0

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.points[-1][0]

    @property
    def requests(self) -> float:
        """Requests of all users, if every answer comes in time."""
        return sum((before + after) / 2 * (end - begin) for (begin, before), (end, after) in pairwise(self.points)) * (
            self.each
        )

    def rate(self, at: float) -> float:
        """Requests a second after so many seconds; 0 before the begin and after the end."""
        return self.users(at) * self.each

    def users(self, at: float) -> float:
        """Users after so many seconds; 0 before the begin and after the end."""
        for (begin, before), (end, after) in pairwise(self.points):
            if begin <= at <= end:
                return before + (after - before) * (at - begin) / (end - begin)
        return 0.0

    def tick(self, at: float) -> tuple[int, float] | None:
        """What locust asks every second: the users wanted in a second's time, and how many a second to start."""
        if at >= self.seconds:
            return None
        wanted = self.users(min(at + 1, self.seconds))
        return round(wanted), max(SPAWN_AT_LEAST, abs(wanted - self.users(at)))

    def __str__(self) -> str:
        return ",".join(f"{at:g}:{users:g}" for at, users in self.points)


def parse(text: str, each: float) -> Shape:
    """What `str` made of a shape. Raises ValueError."""
    points = [tuple(map(float, point.split(":"))) for point in text.split(",")]
    if len(points) < 2 or any(len(point) != 2 for point in points):
        raise ValueError(f"expected two or more of SECONDS:USERS, not {text!r}")
    return Shape(tuple((point[0], point[1]) for point in points), each)


def crowd(users: int, *, each: float, within: float, seconds: float) -> Shape:
    """So many users who come within `within` seconds, and stay until `seconds` have passed."""
    return Shape(((0.0, 0.0), (within, float(users)), (seconds, float(users))), each)
