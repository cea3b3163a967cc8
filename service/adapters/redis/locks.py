"""Named locks in Redis with fencing numbers: they spare nodes from doing the same work twice.

A lock `ticker` is the key `heyday:lock:{ticker}`, which holds `<number>:<owner>` until it expires. The last number
given out is `heyday:lock:{ticker}:fence`. The braces keep the two in one slot of a Redis Cluster.
"""

from __future__ import annotations

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, script, translating


class RedisLocks:
    """The `Locks` of Redis; `owner` (the node's id) is for the person who reads the key."""

    def __init__(self, redis: Redis, *, owner: str) -> None:
        self._owner = owner
        self._acquire = script(redis, "acquire")
        self._renew = script(redis, "renew")
        self._release = script(redis, "release")

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        """Take the lock for `ttl` seconds.

        Returns a fencing number greater than `above` and than every number given out before (as far as Redis
        remembers: after it was emptied, `above` is all there is), or None when it is held. Raises Unavailable.
        """
        async with translating():
            number: Reply = await self._acquire(
                keys=[_key(name), f"{_key(name)}:fence"], args=[self._owner, _milliseconds(ttl), above]
            )
        return None if number is None else int(number)

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        """Hold on to it for another `ttl` seconds; False when it is no longer ours. Raises Unavailable."""
        async with translating():
            held: Reply = await self._renew(keys=[_key(name)], args=[self._value(number), _milliseconds(ttl)])
        return bool(held)

    async def release(self, name: str, number: int) -> None:
        """Give it up if it is ours. Raises Unavailable: then it expires by itself."""
        async with translating():
            await self._release(keys=[_key(name)], args=[self._value(number)])

    def _value(self, number: int) -> str:
        return f"{number}:{self._owner}"


def _key(name: str) -> str:
    return f"heyday:lock:{{{name}}}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
