"""The limits of restarts: their number in a time, and the waits before them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Intensity:
    """The number of restarts within so many seconds that a supervisor allows before it gives up."""

    restarts: int = 20
    within: float = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before a restart: exponential in the recent failures of the child, with full jitter.

    `at_most` is short on purpose. With a longer wait, a child that fails at every start would never reach 20 restarts
    in 60 s, and its node would look alive for ever.
    """

    first: float = 0.1
    at_most: float = 2.0
    random: Callable[[], float] = field(default=random.random, repr=False)

    def delay(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th recent failure of a child, counted from 1."""
        return self.random() * min(self.at_most, self.first * 2.0 ** (failures - 1))


def kind_of(error: BaseException) -> str:
    """Return the class name of a failure, without its text."""
    return type(error).__name__


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """The settings of a supervisor. `clock` and `sleep` count seconds. `describe` makes the text of a failure that may
    be shown to anyone."""

    intensity: Intensity = field(default_factory=Intensity)
    backoff: Backoff = field(default_factory=Backoff)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    describe: Callable[[BaseException], str] = kind_of


class Budget:
    """The restarts that a supervisor still has."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self._rules = settings
        self._failures: deque[tuple[float, str]] = deque()

    def spend(self, child: str) -> float | None:
        """Count a failure; return the seconds to wait before the restart, or None when there were too many."""
        now, intensity = self._rules.clock(), self._rules.intensity
        self._failures.append((now, child))
        while self._failures[0][0] <= now - intensity.within:
            self._failures.popleft()
        if len(self._failures) > intensity.restarts:
            return None
        return self._rules.backoff.delay(sum(failed == child for _, failed in self._failures))

    def refill(self) -> None:
        """Forget all failures: the children are new."""
        self._failures.clear()
