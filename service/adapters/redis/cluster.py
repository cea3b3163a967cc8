"""The memory that Redis has of the cluster that uses it.

| key | type | meaning |
| --- | --- | --- |
| `heyday:cluster` | string | `{id} {generation}`: the cluster, and the latest generation that was committed |
| `heyday:cluster:in-use` | string, expires | the database that nodes are working on: server/database/table |
"""

from __future__ import annotations

from uuid import UUID

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, is_wrong_type, translating
from service.domain.cluster import Identity, Memory
from service.ports import Recalled

KEY = "heyday:cluster"
IN_USE = "heyday:cluster:in-use"

IN_USE_FOR = 30
"""Seconds for which a database counts as in use after the last check of a node: a few intervals."""

CALL_TIMEOUT = 1.0
"""Seconds for one call. A heartbeat waits for it."""


class RedisClusterWitness:
    """Implements `service.ports.ClusterWitness`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def recall(self) -> Recalled:
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(KEY)
            pipeline.get(IN_USE)
            remembered, in_use = await pipeline.execute(raise_on_error=False)
            for reply in (remembered, in_use):
                # A person may have stored another type of value. Every other error is an outage or a bug.
                if isinstance(reply, Exception) and not is_wrong_type(reply):
                    raise reply
        return Recalled(_memory(remembered), in_use if isinstance(in_use, str) else None)

    async def remember(self, identity: Identity) -> None:
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(KEY, f"{identity.id} {identity.generation}")
            pipeline.set(IN_USE, identity.location.database, ex=IN_USE_FOR)
            await pipeline.execute()


def _memory(reply: Reply) -> Memory | None:
    try:
        text, number = reply.split(" ")
        return Memory(UUID(text), int(number))
    except (AttributeError, ValueError):
        return None
