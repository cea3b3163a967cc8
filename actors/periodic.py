"""Actors that do one pass of work, wait, and do the next. They wait out outages, and messages wake them early."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

from actors.context import NodeContext
from actors.runtime import Actor, Context, Reply, Timer
from service.node.lease import LeaseLost
from service.ports import Unavailable

M = TypeVar("M")
R = TypeVar("R")

FIRST_WAIT = 0.2
"""Seconds to wait, at most, after the first failure of an outage; each further failure doubles it."""

LONGEST_WAIT = 1.5
"""Seconds to wait at most during an outage: the end of the outage is noticed soon."""

LEASE_WAIT = 1.0
"""Seconds that a pass waits for the lease; a drain waits no longer."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Do a pass now."""


class OutageBackoff:
    """Exponential waits with jitter during an outage. They begin again after a success."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self) -> float:
        """Seconds to wait after another failure."""
        self._failures += 1
        bound = min(LONGEST_WAIT, FIRST_WAIT * (1 << min(self._failures - 1, 10)))
        return bound * (0.5 + random.random() / 2)  # noqa: S311 - jitter

    def passed(self) -> None:
        """Begin again: the call has worked."""
        self._failures = 0


class PeriodicActor(Actor[M | Tick], Generic[M]):
    """Calls `run_once` again and again. Subclasses define the pass and the meaning of their own messages."""

    def __init__(self, node: NodeContext) -> None:
        self.node = node
        self._backoff = OutageBackoff()
        self._timer: Timer[M | Tick] | None = None

    async def start(self, ctx: Context[M | Tick]) -> None:
        self.ctx = ctx
        self._arm(0.0)

    @abstractmethod
    async def run_once(self) -> float:
        """Do one pass; return the seconds until the next. After Unavailable or LeaseLost the pass is done again."""

    async def on_message(self, message: M) -> None:
        """Handle one of the actor's own messages."""
        raise NotImplementedError(f"{type(self).__name__} expects no {message!r}")

    async def receive(self, message: M | Tick) -> None:
        if isinstance(message, Tick):
            await self._tick()
        else:
            await self.on_message(message)

    def wake(self) -> None:
        """Do the next pass now."""
        self._arm(0.0)

    async def _tick(self) -> None:
        try:
            delay = await self.run_once()
        except Unavailable as error:
            self.node.outages.met(self.ctx.name, error)
            delay = self._backoff.failed()
        except LeaseLost:
            # Membership renews the lease. Other nodes now own what this node had claimed. Nothing was asked of a server
            # for whose outage this actor may wait.
            delay = FIRST_WAIT
        else:
            self.node.outages.passed(self.ctx.name)
            self._backoff.passed()
        self._arm(delay)

    def _arm(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ctx.draining:
            self._timer = self.ctx.after(delay, Tick())


class LeasedActor(PeriodicActor[M]):
    """A periodic actor that works only while the node holds its lease."""

    async def run_once(self) -> float:
        if not await self.node.lease.granted(within=LEASE_WAIT):
            await self.without_lease()
            raise LeaseLost
        return await self.run_leased()

    @abstractmethod
    async def run_leased(self) -> float:
        """Do one pass under the lease; see `run_once`."""

    async def without_lease(self) -> None:
        """Give back what only a node with a lease may hold."""


async def reply_with(reply: Reply[R], work: Awaitable[R]) -> None:
    """Answer with the result of `work`, or fail the ask with Unavailable when it meets an outage or has no lease."""
    try:
        reply.set(await work)
    except Unavailable as error:
        reply.fail(error)
    except LeaseLost:
        reply.fail(Unavailable("postgres", "this node has no lease now: see its log"))
