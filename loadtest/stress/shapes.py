"""Shapes of traffic: the users of locust over time, and their requests per second."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

SPAWN_AT_LEAST = 1.0
"""Users per second; the minimum that locust accepts."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Users over time, linear between `points` of (seconds, users); each makes `each` requests per second, as
    long as answers take less than that."""

    points: tuple[tuple[float, float], ...]
    each: float = 1.0

    @property
    def seconds(self) -> float:
        """Return the duration in seconds."""
        return self.points[-1][0]

    @property
    def requests(self) -> float:
        """Return the requests of all users, if every answer comes in time."""
        return sum((before + after) / 2 * (end - begin) for (begin, before), (end, after) in pairwise(self.points)) * (
            self.each
        )

    def rate(self, at: float) -> float:
        """Return requests per second at a time; 0 before the start and after the end."""
        return self.users(at) * self.each

    def users(self, at: float) -> float:
        """Return users at a time; 0 before the start and after the end."""
        for (begin, before), (end, after) in pairwise(self.points):
            if begin <= at <= end:
                return before + (after - before) * (at - begin) / (end - begin)
        return 0.0

    def tick(self, at: float) -> tuple[int, float] | None:
        """Return the users wanted in one second, and the users to start per second, as locust asks."""
        if at >= self.seconds:
            return None
        wanted = self.users(min(at + 1, self.seconds))
        return round(wanted), max(SPAWN_AT_LEAST, abs(wanted - self.users(at)))

    def __str__(self) -> str:
        return ",".join(f"{at:g}:{users:g}" for at, users in self.points)


def parse(text: str, each: float) -> Shape:
    """Parse the text of a shape. Raises ValueError."""
    points = [tuple(map(float, point.split(":"))) for point in text.split(",")]
    if len(points) < 2 or any(len(point) != 2 for point in points):
        raise ValueError(f"expected two or more of SECONDS:USERS, not {text!r}")
    return Shape(tuple((point[0], point[1]) for point in points), each)


def crowd(users: int, *, each: float, within: float, seconds: float) -> Shape:
    """Return a shape in which users come within `within` seconds and stay until `seconds`."""
    return Shape(((0.0, 0.0), (within, float(users)), (seconds, float(users))), each)
