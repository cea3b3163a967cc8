"""Which messages the email service has accepted, kept in Redis: one set of message ids per day of their instants.

`SMEMBERS heyday:dedupe:2027-03-14` lists them. A set expires as a whole; it holds about 80 MB per million messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, translating

WITHIN = 1.0
"""Seconds for one call. It stands between a claim and its greeting, and losing it costs little: short."""

KEPT_BEYOND_LATE_LIMIT = timedelta(hours=72)
"""A weekend's outage plus a day: an attempt may be repeated that long after the message became due."""


class RedisAcceptedKeys:
    """The `AcceptedKeys` of Redis."""

    def __init__(self, redis: Redis, *, late_limit: timedelta) -> None:
        self._redis = redis
        self._kept = KEPT_BEYOND_LATE_LIMIT + late_limit

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """Those of the messages that were accepted before. Raises Unavailable."""
        days = _by_day(messages)
        async with translating(within=WITHIN), self._redis.pipeline(transaction=False) as pipeline:
            for day, ids in days.items():
                pipeline.smismember(_key(day), [str(message) for message in ids])
            replies: Reply = await pipeline.execute()
        return {
            message
            for ids, known in zip(days.values(), replies, strict=True)
            for message, is_known in zip(ids, known, strict=True)
            if is_known
        }

    async def remember(self, messages: Sequence[tuple[UUID, date]]) -> None:
        """Remember these as accepted. Raises Unavailable."""
        async with translating(within=WITHIN), self._redis.pipeline(transaction=False) as pipeline:
            for day, ids in _by_day(messages).items():
                pipeline.sadd(_key(day), *[str(message) for message in ids])
                pipeline.expire(_key(day), self._kept)
            await pipeline.execute()


def _by_day(messages: Sequence[tuple[UUID, date]]) -> dict[date, list[UUID]]:
    days: defaultdict[date, list[UUID]] = defaultdict(list)
    for message, day in messages:
        days[day].append(message)
    return days


def _key(day: date) -> str:
    return f"heyday:dedupe:{day.isoformat()}"
