"""The rate at which all nodes together call the email service: one clock in Redis, a share of it when that is away.

`heyday:rate:email` is the instant of the next free call, in microseconds since 1970. A call reserves its place in the
row and waits for it, so a wave leaves evenly spaced (the algorithm is known as GCRA, or as a leaky bucket). Where
a node changes from the row of all to one of its own, or back, the new row begins where the old one ends.
`heyday:rate:email:limit` is the lower rate that a throttle has set, by the rules of `AdaptiveRate`, and the version of
the configured rate by which calls were reserved last. A reservation by an earlier version goes by the later one.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable
from datetime import timedelta

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, script, translating
from service.adapters.redis.fallback import RedisFallback
from service.domain.adaptive_rate import (
    DECREASE_EVERY,
    FIRST_RATE,
    GROWTH,
    LEAST_DECREASE,
    LIFTED_AT,
    MIN_RATE,
    START,
    AdaptiveRate,
    Limit,
)
from service.ports import Unavailable

BURST = 0.05
"""Seconds of idle time for which calls may catch up at once, so that a late wake-up does not lower the rate."""

GRACE = 0.1
"""Seconds by which a call may be late.

A statement that is slightly delayed takes less. A call that takes another turn leaves one empty.
"""

RESERVE_TIMEOUT = 0.5
"""Seconds for one reservation; a local share of the rate is better than a wait."""

SETTLE = 1.0
"""Seconds after a change of the configured rate in which calls of the earlier one may begin.

A node begins no call by a reading of the limits that is older than `MAX_AGE` (service.node.sending_holds), which is
less.
"""

VERSION_KEPT = 2.0
"""Seconds without a reservation by a version after which an earlier one counts again: a restored database has one."""

LIMIT_KEPT = timedelta(hours=1)
"""The limit of a throttle ends sooner by itself, unless nothing is sent."""


class RedisRateLimit:
    """Implements `service.ports.RateLimit`: `per_second` calls between all nodes, None without a configured rate.

    `nodes` tells how many nodes there are. Without Redis this node takes an equal share of the rate, and goes by the
    throttles that it meets itself.
    """

    def __init__(
        self,
        redis: Redis,
        per_second: float | None,
        *,
        nodes: Callable[[], int],
        name: str = "email",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_second is not None and not per_second > 0:
            raise ValueError(f"a rate is above 0 per second, not {per_second}")
        self._configured = per_second
        self._version = 0
        self._keys = [f"heyday:rate:{name}", f"heyday:rate:{name}:limit"]
        self._nodes = nodes
        self._clock = clock
        self._reserve = script(redis, "reserve")
        self._throttle = script(redis, "throttle")
        self._fallback = RedisFallback("the rate of the email service", clock=clock)
        self._rate = AdaptiveRate(per_second or math.inf)
        self._recent = RecentCalls(clock)
        # By this node's clock, the end of its turns in the shared sequence, and in its own.
        self._shared_until = self._local_until = -math.inf

    @property
    def grace(self) -> float:
        return grace_of(self._rate.at(self._clock()))

    @property
    def epoch(self) -> Hashable:
        return self._rate.epoch, self._version

    @property
    def per_second(self) -> float:
        now = self._clock()
        return 0.0 if now < self._rate.paused_until else self._rate.at(now)

    def configure(self, per_second: float | None, version: int) -> None:
        if version == self._version and per_second == self._configured:
            return
        self._configured, self._version = per_second, version
        self._rate.ceiling = per_second or math.inf
        # As reserve.lua does for all.
        settled = self._clock() + SETTLE
        self._shared_until = min(self._shared_until, settled)
        self._local_until = min(self._local_until, settled)

    async def reserve(self, count: int, *, ahead: float = math.inf, within: float = math.inf) -> list[float]:
        if count < 1:
            return []
        if not self._fallback.active:
            try:
                waits = await self._shared(count, ahead, within)
            except Unavailable as outage:
                self._fallback.started(outage.reason)
            else:
                self._fallback.ended()
                return waits
        return self._local(count, ahead, within)

    def accepted(self) -> None:
        self._recent.accepted()

    async def throttled(self, retry_after: timedelta | None) -> None:
        self._recent.throttled()
        now, pause = self._clock(), (retry_after or timedelta()).total_seconds()
        if not self._rate.decreases_at(now) and now + pause <= self._rate.paused_until:
            return  # the answers to one burst are one sign
        taken, share = self._recent.accepted_per_second() * max(1, self._nodes()), self._recent.throttled_share()
        self._rate.throttled(now, taken=taken, share=share, pause=pause)
        self._local_until = -math.inf
        if not self._fallback.active:
            arguments: list[str | int] = [
                repr(self._configured or 0), repr(START * taken or FIRST_RATE), repr(share), round(pause * 1e6),
                repr(LEAST_DECREASE), round(DECREASE_EVERY * 1e6), repr(GROWTH), repr(LIFTED_AT), repr(MIN_RATE),
                round(LIMIT_KEPT.total_seconds() * 1000),
            ]  # fmt: skip
            try:
                async with translating(within=RESERVE_TIMEOUT):
                    await self._throttle(keys=self._keys, args=arguments)
            except Unavailable as outage:
                self._fallback.started(outage.reason)

    async def _shared(self, count: int, ahead: float, within: float) -> list[float]:
        asked = self._clock()
        not_before = max(0.0, self._local_until - asked)
        arguments: list[str | int] = [
            repr(1e6 / self._configured if self._configured else 0), count, repr(BURST), math.ceil(not_before * 1e6),
            repr(LIFTED_AT), self._version, round(SETTLE * 1e6), round(VERSION_KEPT * 1e6),
            0 if math.isinf(ahead) else round(ahead * 1e6), 0 if math.isinf(within) else round(within * 1e6),
        ]  # fmt: skip
        async with translating(within=RESERVE_TIMEOUT):
            reply: Reply = await self._reserve(keys=self._keys, args=arguments)
        now = self._clock()
        first, interval, rate, step = int(reply[0]) / 1e6, float(reply[1]) / 1e6, float(reply[2]), float(reply[3])
        since, paused_until = now + int(reply[4]) / 1e6, now + int(reply[5]) / 1e6
        self._rate.follow(Limit(rate, since, step) if rate else None, paused_until=paused_until, epoch=int(reply[6]))
        count = int(reply[7])
        if interval:
            self._shared_until = max(self._shared_until, now + first + count * interval)
        return _waits(first, interval, count)

    def _local(self, count: int, ahead: float, within: float) -> list[float]:
        now = self._clock()
        rate = self._rate.at(now)
        interval = 0.0 if math.isinf(rate) else max(1, self._nodes()) / rate
        first = max(self._local_until, self._shared_until, self._rate.paused_until, now - _tolerance(interval))
        if interval:
            if ahead < count * interval:
                count = max(1, int(ahead / interval))
            if first - now > within:
                return []
            self._local_until = first + count * interval
        return _waits(first - now, interval, count)


class RecentCalls:
    """The calls of the last second that were accepted, and that were throttled."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accepted: deque[float] = deque()
        self._throttled: deque[float] = deque()

    def accepted(self) -> None:
        """Count an accepted call."""
        self._accepted.append(self._clock())
        self._forget()

    def throttled(self) -> None:
        """Count a throttled call."""
        self._throttled.append(self._clock())
        self._forget()

    def accepted_per_second(self) -> float:
        """The accepted calls of the last second."""
        self._forget()
        return float(len(self._accepted))

    def throttled_share(self) -> float:
        """The share of throttled calls among both."""
        self._forget()
        both = len(self._accepted) + len(self._throttled)
        return len(self._throttled) / both if both else 0.0

    def _forget(self) -> None:
        before = self._clock() - 1.0
        for calls in (self._accepted, self._throttled):
            while calls and calls[0] < before:
                calls.popleft()


def grace_of(per_second: float) -> float:
    """Return the seconds by which a call may be late at that rate."""
    return math.inf if math.isinf(per_second) else max(GRACE, 1 / per_second)


def _tolerance(interval: float) -> float:
    """The idle seconds for which calls may catch up: whole calls, of which the first needs none."""
    return max(0, math.floor(BURST / interval) - 1) * interval if interval else 0.0


def _waits(first: float, interval: float, count: int) -> list[float]:
    return [max(0.0, first + call * interval) for call in range(count)]
