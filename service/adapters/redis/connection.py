"""How heyday talks to Redis: two clients with deadlines, scripts from files, errors translated at the border."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import redis.exceptions as errors
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from service.ports import Emptied, Unavailable

CONNECT_WITHIN = 2.0
"""Seconds for the TCP (and TLS) connection; the address is near or it is wrong."""

COMMAND_WITHIN = 5.0
"""Seconds for one command: the largest, a pipeline of a second's work, takes a few milliseconds."""

MOST_CONNECTIONS = 16
"""Connections of one client; a command waits for a free one rather than fail."""

_OUTAGES = (errors.ConnectionError, errors.TimeoutError, errors.ClusterError, errors.ReadOnlyError, OSError)
_OUTAGES_BY_REPLY = (
    "BUSY ",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
)
_EMPTIED_BY_REPLY = ("NOGROUP", "UNBLOCKED")


@dataclass(frozen=True, slots=True)
class RedisClients:
    """One client for commands and one for blocking reads, which would otherwise hold up the commands."""

    commands: Redis
    blocking: Redis

    async def close(self) -> None:
        """Close every connection of both."""
        await self.commands.aclose()
        await self.blocking.aclose()


def connect(url: str) -> RedisClients:
    """Clients for a `redis://`, `rediss://` or `unix://` URL; nothing is connected before the first command."""
    # A blocking read may wait for as long as its caller says: `translating` is its deadline, not the socket.
    return RedisClients(commands=_client(url, COMMAND_WITHIN), blocking=_client(url, None))


def _client(url: str, socket_timeout: float | None) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=CONNECT_WITHIN,
        socket_connect_timeout=CONNECT_WITHIN,
        socket_timeout=socket_timeout,
        # The actors wait and try again, and show it: the library must not do so where nobody sees.
        retry=Retry(NoBackoff(), 0),
        # Everything kept in Redis is text. What somebody else put there must be seen to be wrong, not crash a reader.
        decode_responses=True,
        encoding_errors="backslashreplace",
        # Replies have the same shape in Redis 7 and Valkey 9, and no handshake asks for what one of them lacks.
        protocol=2,
    )
    return Redis.from_pool(pool)


def script(client: Redis, name: str) -> AsyncScript:
    """The Lua script in `<name>.lua` beside this module; it is sent once, and again when the server forgot it."""
    registered: AsyncScript = client.register_script(files(__package__).joinpath(f"{name}.lua").read_text("utf-8"))
    return registered


@asynccontextmanager
async def translating(*, within: float = COMMAND_WITHIN) -> AsyncIterator[None]:
    """Give what is inside `within` seconds, and say what its failure means.

    Raises Unavailable for an outage, Emptied when a stream or its consumer group is gone. Everything else is a bug.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except _OUTAGES as error:
        raise Unavailable("redis", str(error) or f"no answer within {within:g} s") from error
    except RuntimeError as error:
        # uvloop's way to say that a connection was closed under a write.
        if "closed" not in str(error):
            raise
        raise Unavailable("redis", "the connection was closed") from error
    except errors.ResponseError as error:
        reply = str(error)
        if reply.startswith(_EMPTIED_BY_REPLY):
            raise Emptied(f"redis: {reply}") from error
        if isinstance(error, errors.OutOfMemoryError) or reply.startswith(_OUTAGES_BY_REPLY):
            raise Unavailable("redis", reply) from error
        raise


Reply = Any
"""What the library returns: its annotations do not tell one protocol's shape from the other's."""
