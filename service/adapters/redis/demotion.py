"""Connections that end when their server has become a replica: the next one goes to where the address leads by then.

A server that is demoted keeps its connections, and refuses every write. The library ends such connections of its own
accord only where sentinels name the primary.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import ReadOnlyError, ResponseError


def refuses_writes(error: ResponseError) -> bool:
    """True for the answer of a replica to a write. Before Redis 7, the one of a Lua script is another error."""
    return isinstance(error, ReadOnlyError) or "READONLY " in str(error)


class _Leaving:
    """Comes before the class of a connection."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)  # type: ignore[misc]
        except ResponseError as error:
            if refuses_writes(error):
                await self.disconnect()  # type: ignore[attr-defined]
            raise


def leave_replicas(pool: ConnectionPool) -> ConnectionPool:
    """Let a pool make such connections."""
    made = pool.connection_class
    pool.connection_class = type(f"{made.__name__}ToPrimary", (_Leaving, made), {})
    return pool
