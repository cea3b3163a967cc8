"""The fakes of what nodes share in Redis beside streams: `Locks`, `AcceptedKeys` and the `RateLimit` of all nodes.

`RequestRate` needs none: one `LocalRequestRate` that several nodes are given counts for them all, by an injected clock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from datetime import timedelta
from uuid import UUID

from service.adapters.redis.accepted import KEPT_BEYOND_LATE_LIMIT, key_of
from service.adapters.redis.rate import BURST, SETTLE, RecentCalls, grace_of
from service.domain.adaptive_rate import AdaptiveRate
from tests.fakes.redis_memory import Lock, RedisMemory


class FakeLocks:
    """Implements `service.ports.Locks`."""

    def __init__(self, memory: RedisMemory, *, owner: str) -> None:
        self._memory = memory
        self._owner = owner

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        held = self._memory.locks.get(name)
        if held is not None and held.until > self._memory.monotonic():
            return None
        number = max(self._memory.fences.get(name, 0), above) + 1
        self._memory.fences[name] = number
        self._hold(name, number, ttl)
        return number

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        if not self._holds(name, number):
            return False
        self._hold(name, number, ttl)
        return True

    async def release(self, name: str, number: int) -> None:
        if self._holds(name, number):
            del self._memory.locks[name]

    def _hold(self, name: str, number: int, ttl: float) -> None:
        self._memory.locks[name] = Lock(self._owner, number, self._memory.monotonic() + ttl)

    def _holds(self, name: str, number: int) -> bool:
        held = self._memory.locks.get(name)
        return (
            held is not None
            and (held.owner, held.number) == (self._owner, number)
            and held.until > self._memory.monotonic()
        )


class FakeAcceptedKeys:
    """Implements `service.ports.AcceptedKeys`. The keys of a day expire together."""

    def __init__(self, memory: RedisMemory, *, late_limit: timedelta) -> None:
        self._memory = memory
        self._kept = (KEPT_BEYOND_LATE_LIMIT + late_limit).total_seconds()

    async def accepted(self, messages: Sequence[UUID]) -> set[UUID]:
        return {message for message in messages if message in self._of(key_of(message))}

    async def remember(self, messages: Sequence[UUID]) -> None:
        for message in messages:
            kept = self._of(key_of(message)) | {message: None}
            self._memory.accepted[key_of(message)] = (kept, self._memory.monotonic() + self._kept)

    def _of(self, key: str) -> dict[UUID, None]:
        kept, until = self._memory.accepted.get(key, ({}, 0.0))
        return kept if until > self._memory.monotonic() else {}


class FakeRateLimit:
    """Implements `service.ports.RateLimit`: `per_second` calls of all nodes, evenly spaced, or no limit."""

    def __init__(self, memory: RedisMemory, per_second: float | None, *, name: str = "email") -> None:
        self._memory = memory
        self._rate = memory.rates.setdefault(name, AdaptiveRate(per_second or math.inf))
        self._recent = RecentCalls(memory.monotonic)
        self._name = name
        self._version = 0

    @property
    def grace(self) -> float:
        return grace_of(self._rate.at(self._memory.monotonic()))

    @property
    def epoch(self) -> Hashable:
        return self._rate.epoch, self._version

    def configure(self, per_second: float | None, version: int) -> None:
        memory, self._version = self._memory, version
        if version > memory.rate_versions.get(self._name, 0):
            memory.rate_versions[self._name] = version
            self._rate.ceiling = per_second or math.inf
            next_call = memory.next_call.pop(self._name, None)
            if next_call is not None and per_second is not None:
                memory.next_call[self._name] = min(next_call, memory.monotonic() + SETTLE)

    @property
    def per_second(self) -> float:
        now = self._memory.monotonic()
        return 0.0 if now < self._rate.paused_until else self._rate.at(now)

    async def reserve(self, count: int, *, ahead: float = math.inf, within: float = math.inf) -> list[float]:
        now = self._memory.monotonic()
        rate = self._rate.at(now)
        interval = 0.0 if math.isinf(rate) else 1 / rate
        # The idle time that may be made up for: whole calls, of which the first needs none.
        tolerance = max(0, math.floor(BURST / interval) - 1) * interval if interval else 0.0
        next_call = self._memory.next_call.get(self._name, -math.inf)
        first = max(next_call, self._rate.paused_until, now - tolerance)
        if interval:
            if ahead < count * interval:
                count = max(1, int(ahead / interval))
            if first - now > within:
                return []
            self._memory.next_call[self._name] = first + count * interval
        return [max(0.0, first - now + call * interval) for call in range(count)]

    def accepted(self) -> None:
        self._recent.accepted()

    async def throttled(self, retry_after: timedelta | None) -> None:
        self._recent.throttled()
        now, epoch = self._memory.monotonic(), self._rate.epoch
        pause = (retry_after or timedelta()).total_seconds()
        taken, share = self._recent.accepted_per_second(), self._recent.throttled_share()
        self._rate.throttled(now, taken=taken, share=share, pause=pause)
        if self._rate.epoch != epoch:
            self._memory.next_call.pop(self._name, None)
