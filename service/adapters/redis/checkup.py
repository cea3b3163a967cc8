"""Diagnostics of Redis: its configuration, and the pending entries of each stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from service.adapters.redis.connection import Reply, translating
from service.adapters.redis.streams import GROUP
from service.ports import Emptied


class RedisCheckup:
    """Reads what a check of Redis needs. Every method raises Unavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def info(self) -> dict[str, Any] | None:
        """All fields of INFO, or None when the user may not read them, as with managed services."""
        async with translating():
            try:
                found: dict[str, Any] = await self._redis.info()
            except NoPermissionError:
                return None
            return found

    async def streams(self, names: Iterable[str]) -> dict[str, tuple[int, dict[str, int]] | None]:
        """Entries of each of these streams, and pending entries by consumer; None where there is no group."""
        found: dict[str, tuple[int, dict[str, int]] | None] = {}
        for name in names:
            try:
                async with translating():
                    pending: Reply = await self._redis.xpending(name, GROUP)
                    by_consumer = {one["name"]: int(one["pending"]) for one in pending["consumers"]}
                    found[name] = (await self._redis.xlen(name), by_consumer)
            except Emptied:
                found[name] = None
        return found
