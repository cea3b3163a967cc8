"""How many requests each client of the API makes, counted by all nodes together.

`heyday:requests:{client}` is the instant at which the client will have made up for all its requests, in microseconds
since 1970; it is gone when that has passed. `client` is a digest: no address and no key is in Redis.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, script, translating
from service.ports import Allowance, Unavailable

WITHIN = 0.25
"""Seconds to ask Redis: counting must not hold up what is counted."""

AWAY_FOR = 2.0
"""Seconds for which Redis is not asked again after it did not answer."""

MOST_CLIENTS = 10_000
"""Clients counted by a node on its own; of more, those seen longest ago are forgotten."""

log = structlog.get_logger(__name__)


class LocalRequestRate:
    """A `service.ports.RequestRate` of one node: `per_second` requests of each client, a second's worth at once."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not per_second > 0:
            raise ValueError(f"a rate is above 0 per second, not {per_second}")
        self.limit = max(1, math.floor(per_second))
        self.interval = 1 / per_second
        self.window = self.limit * self.interval
        self._clock = clock
        self._made_up: OrderedDict[str, float] = OrderedDict()

    async def take(self, client: str) -> Allowance:
        now = self._clock()
        before = max(self._made_up.pop(client, now), now)
        after = before + self.interval
        early = after - self.window - now
        # A rounding error is no early request.
        self._made_up[client] = before if early > 1e-9 else after
        if len(self._made_up) > MOST_CLIENTS:
            self._made_up.popitem(last=False)
        if early > 1e-9:
            return Allowance(allowed=False, remaining=0, reset_after=before - now, retry_after=early)
        remaining = math.floor(-early / self.interval + 1e-9)
        return Allowance(allowed=True, remaining=remaining, reset_after=after - now, retry_after=0.0)


class RedisRequestRate:
    """A `service.ports.RequestRate` of all nodes; while Redis is away each node counts on its own."""

    def __init__(self, redis: Redis, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._local = LocalRequestRate(per_second, clock=clock)
        self.limit = self._local.limit
        self.window = self._local.window
        self._clock = clock
        self._take = script(redis, "request_rate")
        self._ask_again_at = -math.inf

    async def take(self, client: str) -> Allowance:
        if self._clock() >= self._ask_again_at:
            try:
                return await self._shared(client)
            except Unavailable as outage:
                self._ask_again_at = self._clock() + AWAY_FOR
                log.warning("request_rate_local", reason=outage.reason)
        return await self._local.take(client)

    async def _shared(self, client: str) -> Allowance:
        key = f"heyday:requests:{hashlib.sha256(client.encode()).hexdigest()[:32]}"
        async with translating(within=WITHIN):
            reply: Reply = await self._take(keys=[key], args=[repr(self._local.interval * 1e6), self.limit])
        allowed, remaining, reset_after, retry_after = map(int, reply)
        return Allowance(
            allowed=allowed == 1, remaining=remaining, reset_after=reset_after / 1e6, retry_after=retry_after / 1e6
        )
