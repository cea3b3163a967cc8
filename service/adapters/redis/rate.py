"""The rate at which all nodes together call the email service: one clock in Redis, a share of it when that is away.

`heyday:rate:email` is the instant of the next free call, in microseconds since 1970. A call reserves its place in the
row and waits for it, so a wave leaves evenly spaced (the algorithm is known as GCRA, or as a leaky bucket). Where
a node changes from the row of all to one of its own, or back, the new row begins where the old one ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from redis.asyncio import Redis

from service.adapters.redis.absence import Absence
from service.adapters.redis.connection import Reply, script, translating
from service.ports import Unavailable

BURST = 0.05
"""Seconds of idle time that may be made up for at once: enough that waking up late does not lower the rate."""

GRACE = 0.1
"""Seconds by which a call may be late, more than a statement takes that is held up a little: whoever takes another
place leaves one empty."""

WITHIN = 0.5
"""Seconds for one reservation; a local share of the rate is better than a wait."""


class Unlimited:
    """The `RateLimit` of a service that takes as much as it is given."""

    grace = math.inf

    async def reserve(self, count: int) -> list[float]:
        """No call has to wait."""
        return [0.0] * count


class RedisRateLimit:
    """The `RateLimit` of all nodes: `per_second` calls between them; `nodes` tells how many they are."""

    def __init__(
        self,
        redis: Redis,
        per_second: float,
        *,
        nodes: Callable[[], int],
        name: str = "email",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"a rate is above 0 per second, not {per_second}")
        self._interval = 1 / per_second
        self.grace = max(GRACE, self._interval)
        self._key = f"heyday:rate:{name}"
        self._nodes = nodes
        self._clock = clock
        self._reserve = script(redis, "reserve")
        self._absence = Absence("the rate of the email service", clock=clock)
        # By this node's clock, where its places end: in the row of all, and in its own.
        self._shared_until = self._local_until = -math.inf

    async def reserve(self, count: int) -> list[float]:
        """Reserve `count` calls and return for each the seconds to wait from now, in order. Never raises Unavailable:
        without Redis this node takes an equal share of the rate."""
        if count < 1:
            return []
        if not self._absence.goes_on:
            try:
                waits = await self._shared(count)
            except Unavailable as outage:
                self._absence.met(outage.reason)
            else:
                self._absence.over()
                return waits
        return self._local(count)

    async def _shared(self, count: int) -> list[float]:
        interval = self._interval * 1e6
        not_before = max(0.0, self._local_until - self._clock())
        arguments: list[str | int] = [
            repr(interval), count, round(_tolerance(self._interval) * 1e6), math.ceil(not_before * 1e6),
        ]  # fmt: skip
        async with translating(within=WITHIN):
            reply: Reply = await self._reserve(keys=[self._key], args=arguments)
        first = int(reply) / 1e6
        self._shared_until = max(self._shared_until, self._clock() + first + count * self._interval)
        return _waits(first, self._interval, count)

    def _local(self, count: int) -> list[float]:
        interval = self._interval * max(1, self._nodes())
        now = self._clock()
        first = max(self._local_until, self._shared_until, now - _tolerance(interval))
        self._local_until = first + count * interval
        return _waits(first - now, interval, count)


def _tolerance(interval: float) -> float:
    """The idle seconds that may be made up for: whole calls, of which the first needs none."""
    return max(0, math.floor(BURST / interval) - 1) * interval


def _waits(first: float, interval: float, count: int) -> list[float]:
    return [max(0.0, first + call * interval) for call in range(count)]
