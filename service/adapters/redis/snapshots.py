"""Texts that nodes share, so that what many people watch is computed once: ids and counts, no personal data.

| key | type | meaning |
| --- | --- | --- |
| `heyday:watch:text:{name}` | string, expires | the figures as they were computed last |
| `heyday:watch:turn:{name}` | string, expires | the figures are fresh, or a node computes them now |
| `heyday:watch:node:{node}` | string, expires | what a node says of itself: its actors, outages, circuit |
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from service.adapters.redis.connection import Reply, is_wrong_type, translating
from service.ports import SharedText

CALL_TIMEOUT = 1.0
"""Seconds for one call. A page waits for it, and can do without the answer."""

TEXT_KEPT = 120.0
"""Seconds for which a text can be read. While the database is away, pages show it with its age."""

REPORT_KEPT = 10.0
"""Seconds for which a report of a node can be read: a few of its intervals."""


class RedisSnapshots:
    """Implements `service.ports.Snapshots`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def look(self, name: str, *, fresh: float) -> SharedText:
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(_text(name))
            pipeline.pttl(_text(name))
            pipeline.set(_turn(name), "1", nx=True, px=_milliseconds(fresh))
            text, left, turn = await pipeline.execute(raise_on_error=False)
            for reply in (text, left, turn):
                # A person may have stored another type of value; `share` replaces it.
                if isinstance(reply, Exception) and not is_wrong_type(reply):
                    raise reply
        found = text if isinstance(text, str) else None
        return SharedText(found, max(0.0, TEXT_KEPT - max(0, left) / 1000), turn is True)

    async def share(self, name: str, text: str, *, fresh: float) -> None:
        async with translating(within=CALL_TIMEOUT), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(_text(name), text, px=_milliseconds(TEXT_KEPT))
            pipeline.set(_turn(name), "1", px=_milliseconds(fresh))
            await pipeline.execute()

    async def report(self, node: str, text: str) -> None:
        async with translating(within=CALL_TIMEOUT):
            await self._redis.set(_node(node), text, px=_milliseconds(REPORT_KEPT))

    async def reports(self, nodes: Sequence[str]) -> list[str | None]:
        if not nodes:
            return []
        async with translating(within=CALL_TIMEOUT):
            reply: Reply = await self._redis.mget([_node(node) for node in nodes])
        return list(reply)


def _text(name: str) -> str:
    return f"heyday:watch:text:{name}"


def _turn(name: str) -> str:
    return f"heyday:watch:turn:{name}"


def _node(node: str) -> str:
    return f"heyday:watch:node:{node}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
