"""An actor that does its turn, waits, and does it again: it waits out outages and is woken early by messages."""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from actors.lease import LeaseLost
from actors.runtime import Actor, Context, Timer
from service.outages import Outages
from service.ports import Unavailable

M = TypeVar("M")

FIRST_WAIT = 0.2
"""Seconds to wait, at most, after the first failure of an outage; doubled each time."""

LONGEST_WAIT = 3.0
"""Seconds to wait at most: a server that is back is noticed soon."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Do your turn now."""


class Backoff:
    """How long to wait during an outage: exponential with jitter, back to the start when it is over."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self) -> float:
        """Seconds to wait after another failure."""
        self._failures += 1
        bound = min(LONGEST_WAIT, FIRST_WAIT * (1 << min(self._failures - 1, 10)))
        return bound * (0.5 + random.random() / 2)  # noqa: S311 - jitter

    def passed(self) -> None:
        """It worked."""
        self._failures = 0


class Repeating(Actor[M | Turn], Generic[M]):
    """Subclasses say what a turn is and what their own messages mean."""

    def __init__(self, outages: Outages) -> None:
        self.outages = outages
        self._backoff = Backoff()
        self._timer: Timer[M | Turn] | None = None

    async def start(self, ctx: Context[M | Turn]) -> None:
        self.ctx = ctx
        self._arm(0.0)

    @abstractmethod
    async def turn(self) -> float:
        """One pass; the seconds until the next. May raise Unavailable and LeaseLost: the pass is done again."""

    async def heard(self, message: M) -> None:
        """One of the actor's own messages."""
        raise NotImplementedError(f"{type(self).__name__} expects no {message!r}")

    async def receive(self, message: M | Turn) -> None:
        if isinstance(message, Turn):
            await self._turn()
        else:
            await self.heard(message)

    def wake(self) -> None:
        """Do the next turn now rather than when it is due."""
        self._arm(0.0)

    async def _turn(self) -> None:
        try:
            delay = await self.turn()
        except Unavailable as error:
            self.outages.met(self.ctx.name, error)
            delay = self._backoff.failed()
        except LeaseLost:
            # The membership actor is at it; whatever was claimed is no longer ours to think about.
            delay = FIRST_WAIT
        else:
            self.outages.passed(self.ctx.name)
            self._backoff.passed()
        self._arm(delay)

    def _arm(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ctx.draining:
            self._timer = self.ctx.after(delay, Turn())
