"""The rate limit of each client of the API, counted by all nodes together (GCRA).

`heyday:requests:{client}` is the instant at which the client has its whole allowance again, in microseconds since 1970.
It expires at that instant. `client` is a digest, so that no address and no API key is in Redis.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from service.adapters.batching import Batcher
from service.adapters.redis.connection import Reply, script, translating
from service.adapters.redis.fallback import RedisFallback
from service.ports import Allowance, Unavailable

CALL_TIMEOUT = 0.25
"""Seconds for one call. Every request of the API waits for it."""

MAX_LOCAL_CLIENTS = 10_000
"""Clients that a node counts by itself. It forgets the one that was seen longest ago."""

MAX_BATCH = 64
"""Simultaneous requests that are counted by one call."""

CONCURRENT_BATCHES = 2
"""Calls under way at once."""


class LocalRequestRate:
    """Implements `service.ports.RequestRate` for one node: `per_second` requests of each client.

    Up to `burst` of them may come at once (default: the requests of one second).
    """

    def __init__(
        self, per_second: float, *, burst: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"a rate is above 0 per second, not {per_second}")
        self.limit = burst or max(1, math.floor(per_second))
        self.interval = 1 / per_second
        self.window = self.limit * self.interval
        self._clock = clock
        self._restored_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, client: str) -> Allowance:
        now = self._clock()
        before = max(self._restored_at.pop(client, now), now)
        allowance = self.allowance(before - now)
        self._restored_at[client] = before + self.interval if allowance.allowed else before
        if len(self._restored_at) > MAX_LOCAL_CLIENTS:
            self._restored_at.popitem(last=False)
        return allowance

    def allowance(self, before: float, *, allowed: bool | None = None) -> Allowance:
        """The answer to a request of a client that has its whole allowance again in `before` seconds.

        `allowed` is the decision, if Redis has made it.
        """
        after = before + self.interval
        early = after - self.window
        if allowed is None:
            allowed = early <= 1e-9  # a rounding error does not make a request early
        if not allowed:
            return Allowance(allowed=False, remaining=0, reset_after=before, retry_after=max(0.0, early))
        remaining = max(0, math.floor(-early / self.interval + 1e-9))
        return Allowance(allowed=True, remaining=remaining, reset_after=after, retry_after=0.0)


class RedisRequestRate:
    """Implements `service.ports.RequestRate` for all nodes. While Redis is away each node counts by itself."""

    def __init__(
        self,
        redis: Redis,
        per_second: float,
        *,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = LocalRequestRate(per_second, burst=burst, clock=clock)
        self.limit = self._local.limit
        self.window = self._local.window
        self._fallback = RedisFallback("the rates of clients", clock=clock)
        self._take = script(redis, "request_rate")
        self._asking = Batcher(self._shared, system="redis", most=MAX_BATCH, at_once=CONCURRENT_BATCHES)

    async def take(self, client: str) -> Allowance:
        if not self._fallback.active:
            try:
                allowance = await self._asking(client)
            except Unavailable as outage:
                if not self._fallback.active:  # another request may have noticed it first
                    self._fallback.started(outage.reason)
            else:
                self._fallback.ended()
                return allowance
        return await self._local.take(client)

    async def _shared(self, clients: Sequence[str]) -> list[Allowance]:
        """Count the simultaneous requests of each client by one call."""
        made = Counter(clients)
        async with translating(within=CALL_TIMEOUT):
            replies = await asyncio.gather(*(self._count(client, made[client]) for client in made))
        outcomes = {client: iter(allowances) for client, allowances in zip(made, replies, strict=True)}
        return [next(outcomes[client]) for client in clients]

    async def _count(self, client: str, made: int) -> list[Allowance]:
        key = f"heyday:requests:{hashlib.sha256(client.encode()).hexdigest()[:32]}"
        interval = self._local.interval
        reply: Reply = await self._take(keys=[key], args=[repr(interval * 1e6), self.limit, made])
        allowed, before = int(reply[0]), int(reply[1]) / 1e6
        return [
            self._local.allowance(before + min(number, allowed) * interval, allowed=number < allowed)
            for number in range(made)
        ]
