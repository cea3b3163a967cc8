"""What a doctor asks Redis: how it is set up, and the streams with who holds what."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, translating
from service.adapters.redis.streams import DUE, PLAN
from service.ports import Emptied


class RedisCheckup:
    """Every method raises Unavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def info(self) -> dict[str, Any]:
        """Every figure of INFO."""
        async with translating():
            found: dict[str, Any] = await self._redis.info()
            return found

    async def streams(self) -> dict[str, tuple[int, dict[str, int]] | None]:
        """Entries of each stream, and how many are pending by consumer; None where there is no group."""
        found: dict[str, tuple[int, dict[str, int]] | None] = {}
        for name in (PLAN, DUE):
            try:
                async with translating():
                    pending: Reply = await self._redis.xpending(name, "nodes")
                    by_consumer = {one["name"]: int(one["pending"]) for one in pending["consumers"]}
                    found[name] = (await self._redis.xlen(name), by_consumer)
            except Emptied:
                found[name] = None
        return found
