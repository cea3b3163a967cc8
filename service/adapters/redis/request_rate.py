"""How many requests each client of the API makes, counted by all nodes together.

`heyday:requests:{client}` is the instant at which the client will have made up for all its requests, in microseconds
since 1970; it is gone when that has passed. `client` is a digest: no address and no key is in Redis.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from service.adapters.redis.absence import Absence
from service.adapters.redis.connection import Reply, script, translating
from service.adapters.together import Together
from service.ports import Allowance, Unavailable

WITHIN = 0.25
"""Seconds to ask Redis: counting must not hold up what is counted."""

MOST_CLIENTS = 10_000
"""Clients counted by a node on its own; of more, those seen longest ago are forgotten."""

MOST_AT_ONCE = 64
"""Requests counted together, of those that came at the same time."""

ROUNDS = 2
"""Such counts under way at once."""


class LocalRequestRate:
    """A `service.ports.RequestRate` of one node: `per_second` requests of each client, `at_once` of them without a wait
    (a second's worth unless told)."""

    def __init__(
        self, per_second: float, *, at_once: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"a rate is above 0 per second, not {per_second}")
        self.limit = at_once or max(1, math.floor(per_second))
        self.interval = 1 / per_second
        self.window = self.limit * self.interval
        self._clock = clock
        self._made_up: OrderedDict[str, float] = OrderedDict()

    async def take(self, client: str) -> Allowance:
        now = self._clock()
        before = max(self._made_up.pop(client, now), now)
        allowance = self.allowance(before - now)
        self._made_up[client] = before + self.interval if allowance.allowed else before
        if len(self._made_up) > MOST_CLIENTS:
            self._made_up.popitem(last=False)
        return allowance

    def allowance(self, before: float, *, allowed: bool | None = None) -> Allowance:
        """What a request comes to when those before it have been made up for in `before` seconds; `allowed` if that
        has been decided elsewhere."""
        after = before + self.interval
        early = after - self.window
        if allowed is None:
            allowed = early <= 1e-9  # a rounding error is no early request
        if not allowed:
            return Allowance(allowed=False, remaining=0, reset_after=before, retry_after=max(0.0, early))
        remaining = max(0, math.floor(-early / self.interval + 1e-9))
        return Allowance(allowed=True, remaining=remaining, reset_after=after, retry_after=0.0)


class RedisRequestRate:
    """A `service.ports.RequestRate` of all nodes; while Redis is away each node counts on its own."""

    def __init__(
        self,
        redis: Redis,
        per_second: float,
        *,
        at_once: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = LocalRequestRate(per_second, at_once=at_once, clock=clock)
        self.limit = self._local.limit
        self.window = self._local.window
        self._absence = Absence("the rates of clients", clock=clock)
        self._take = script(redis, "request_rate")
        self._asking = Together(self._shared, system="redis", most=MOST_AT_ONCE, at_once=ROUNDS)

    async def take(self, client: str) -> Allowance:
        if not self._absence.goes_on:
            try:
                allowance = await self._asking(client)
            except Unavailable as outage:
                if not self._absence.goes_on:  # the first to notice
                    self._absence.met(outage.reason)
            else:
                self._absence.over()
                return allowance
        return await self._local.take(client)

    async def _shared(self, clients: Sequence[str]) -> list[Allowance]:
        """Count the requests of each client by one call, however many it made at this moment."""
        made = Counter(clients)
        async with translating(within=WITHIN):
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
