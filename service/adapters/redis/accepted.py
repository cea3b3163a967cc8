"""The messages that the email service has accepted, kept in Redis: one set of message ids for each day of their ids.

A message id is a UUID of version 7, whose first 48 bits are the milliseconds of its creation (RFC 9562, 5.7). So a
message stays in one set, also when an edit moves its instant. `SMEMBERS heyday:dedupe:2027-03-14` lists those
that were planned on that day. A set expires as a whole; it holds about 80 MB per million messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, translating

CALL_TIMEOUT = 1.0
"""Seconds for one call. It is short, because a greeting waits for it, and losing the answer costs little."""

KEPT_BEYOND_LATE_LIMIT = timedelta(hours=72)
"""An attempt may be repeated this long after the late limit: a weekend and a day."""

_LAST_DAY = 253_402_300_799
"""The last second that a date can hold. Ids that were not made from a clock may have a later one."""


class RedisAcceptedKeys:
    """Implements `service.ports.AcceptedKeys`."""

    def __init__(self, redis: Redis, *, late_limit: timedelta) -> None:
        self._redis = redis
        self._kept = KEPT_BEYOND_LATE_LIMIT + late_limit

    async def accepted(self, messages: Sequence[UUID]) -> set[UUID]:
        sets = _by_set(messages)
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            for key, ids in sets.items():
                pipeline.smismember(key, [str(message) for message in ids])
            replies: Reply = await pipeline.execute()
        return {
            message
            for ids, known in zip(sets.values(), replies, strict=True)
            for message, is_known in zip(ids, known, strict=True)
            if is_known
        }

    async def remember(self, messages: Sequence[UUID]) -> None:
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            for key, ids in _by_set(messages).items():
                pipeline.sadd(key, *[str(message) for message in ids])
                pipeline.expire(key, self._kept)
            await pipeline.execute()


def _by_set(messages: Sequence[UUID]) -> dict[str, list[UUID]]:
    sets: defaultdict[str, list[UUID]] = defaultdict(list)
    for message in messages:
        sets[key_of(message)].append(message)
    return sets


def key_of(message: UUID) -> str:
    """Return the name of the set that a message is in, once it was accepted."""
    seconds = min(int.from_bytes(message.bytes[:6]) // 1000, _LAST_DAY)
    return f"heyday:dedupe:{datetime.fromtimestamp(seconds, UTC).date().isoformat()}"
