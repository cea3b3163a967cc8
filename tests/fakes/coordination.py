"""The fakes of what nodes share in Redis beside streams: `Locks`, `AcceptedKeys` and the `RateLimit` of all nodes.

`RequestRate` needs none: one `LocalRequestRate` that several nodes are given counts for them all, by an injected clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from service.adapters.redis.accepted import KEPT_BEYOND_LATE_LIMIT
from service.adapters.redis.rate import BURST, GRACE
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
    """Implements `service.ports.AcceptedKeys`: a day of messages is forgotten as a whole."""

    def __init__(self, memory: RedisMemory, *, late_limit: timedelta) -> None:
        self._memory = memory
        self._kept = (KEPT_BEYOND_LATE_LIMIT + late_limit).total_seconds()

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> set[UUID]:
        return {message for message, day in messages if message in self._of(day)}

    async def remember(self, messages: Sequence[tuple[UUID, date]]) -> None:
        for message, day in messages:
            kept = self._of(day) | {message: None}
            self._memory.accepted[day] = (kept, self._memory.monotonic() + self._kept)

    def _of(self, day: date) -> dict[UUID, None]:
        kept, until = self._memory.accepted.get(day, ({}, 0.0))
        return kept if until > self._memory.monotonic() else {}


class FakeRateLimit:
    """Implements `service.ports.RateLimit`: `per_second` calls of all nodes, evenly spaced."""

    def __init__(self, memory: RedisMemory, per_second: float, *, name: str = "email") -> None:
        self._memory = memory
        self._interval = 1 / per_second
        self.grace = max(GRACE, self._interval)
        # The idle time that may be made up for: whole calls, of which the first needs none.
        self._tolerance = max(0, math.floor(BURST / self._interval) - 1) * self._interval
        self._name = name

    async def reserve(self, count: int) -> list[float]:
        now = self._memory.monotonic()
        first = max(self._memory.next_call.get(self._name, -math.inf), now - self._tolerance)
        self._memory.next_call[self._name] = first + count * self._interval
        return [max(0.0, first - now + call * self._interval) for call in range(count)]
