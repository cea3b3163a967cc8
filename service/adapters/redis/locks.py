"""Named locks in Redis with fencing tokens: they keep nodes from doing the same work twice.

A lock `ticker` is the key `heyday:lock:{ticker}`. It holds `<token>:<owner>` until it expires. The last token given
out is in `heyday:lock:{ticker}:fence`.
"""

from __future__ import annotations

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, script, translating


class RedisLocks:
    """Implements `service.ports.Locks`. `owner` (the node's id) is only for a person who reads the key."""

    def __init__(self, redis: Redis, *, owner: str) -> None:
        self._owner = owner
        self._acquire = script(redis, "acquire")
        self._renew = script(redis, "renew")
        self._release = script(redis, "release")

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        # After Redis was emptied, `above` is the only lower limit of the next token.
        async with translating():
            token: Reply = await self._acquire(
                keys=[_key(name), f"{_key(name)}:fence"], args=[self._owner, _milliseconds(ttl), above]
            )
        return None if token is None else int(token)

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        async with translating():
            held: Reply = await self._renew(keys=[_key(name)], args=[self._value(number), _milliseconds(ttl)])
        return bool(held)

    async def release(self, name: str, number: int) -> None:
        async with translating():
            await self._release(keys=[_key(name)], args=[self._value(number)])

    def _value(self, number: int) -> str:
        return f"{number}:{self._owner}"


def _key(name: str) -> str:
    return f"heyday:lock:{{{name}}}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
