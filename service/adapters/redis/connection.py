"""Connections to Redis: clients with deadlines, Lua scripts from files, and the translation of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import redis.exceptions as errors
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from service.adapters.redis import sentinel
from service.adapters.redis.demotion import leave_replicas, refuses_writes
from service.adapters.redis.tls import explain_tls
from service.ports import Emptied, Unavailable, Unsupported

CONNECT_TIMEOUT = 2.0
"""Seconds for the TCP (and TLS) connection. The server is near, or the address is wrong."""

COMMAND_TIMEOUT = 5.0
"""Seconds for one command. The largest, a pipeline with a second's work, takes a few milliseconds."""

MAX_CONNECTIONS = 16
"""Connections of one client. A command waits for a free one."""

_OUTAGES = (errors.ConnectionError, errors.TimeoutError, errors.ClusterError, errors.ReadOnlyError, OSError)
_OUTAGES_BY_REPLY = (
    "BUSY ",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "TRYAGAIN",
)
CLUSTER_REFUSED = "this is a Redis Cluster. Use Redis with one primary: by one address, or by redis+sentinel://"

_EMPTIED_BY_REPLY = ("NOGROUP", "UNBLOCKED")


@dataclass(frozen=True, slots=True)
class RedisClients:
    """One client for commands and one for blocking reads, because a blocking read would delay commands."""

    commands: Redis
    blocking: Redis

    async def refuse_cluster(self) -> None:
        """Raise Unsupported if the server is part of a Redis Cluster, Unavailable if it cannot be asked."""
        async with translating():
            try:
                reply: Reply = await self.commands.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
            except errors.NoPermissionError:  # in a cluster, the first command that is redirected says so
                return
            except errors.ResponseError as error:
                if "cluster support disabled" in str(error):
                    return
                raise
        if reply:
            raise Unsupported("redis", CLUSTER_REFUSED)

    async def use(self, url: str) -> None:
        """Connect to another URL from now on. What is under way fails as in an outage."""
        for client, timeout in ((self.commands, COMMAND_TIMEOUT), (self.blocking, None)):
            old, client.connection_pool = client.connection_pool, _pool(url, timeout)
            await _close(old)

    async def close(self) -> None:
        """Close every connection of both."""
        for client in (self.commands, self.blocking):
            await client.aclose()
            await _close(client.connection_pool)


def connect(url: str) -> RedisClients:
    """Clients that connect at the first command; the settings say which URLs there are."""
    # The caller chooses how long a blocking read waits. `translating` is its deadline, not the socket.
    return RedisClients(
        commands=Redis.from_pool(_pool(url, COMMAND_TIMEOUT)), blocking=Redis.from_pool(_pool(url, None))
    )


def _pool(url: str, socket_timeout: float | None) -> ConnectionPool:
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": CONNECT_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": socket_timeout,
        # The actors retry, and show it in health and metrics. A retry inside the library would be invisible.
        "retry": Retry(NoBackoff(), 0),
        # All values in Redis are text. Foreign bytes must be visible as such, and must not crash a reader.
        "decode_responses": True,
        "encoding_errors": "backslashreplace",
        # With protocol 2, replies have the same shape in Redis and Valkey, and no HELLO is needed.
        "protocol": 2,
    }
    by_sentinel = sentinel.names_sentinels(url)
    pool = (
        sentinel.pool(sentinel.parse(url), **options)
        if by_sentinel
        else BlockingConnectionPool.from_url(url, **options)
    )
    return leave_replicas(explain_tls(pool))


async def _close(pool: ConnectionPool) -> None:
    await pool.disconnect()
    if isinstance(pool, sentinel.SentinelPool):
        await pool.sentinel_manager.aclose()


def script(client: Redis, name: str) -> AsyncScript:
    """The Lua script in `<name>.lua` beside this module. It is sent once, and again after the server lost it."""
    registered: AsyncScript = client.register_script(files(__package__).joinpath(f"{name}.lua").read_text("utf-8"))
    return registered


@asynccontextmanager
async def translating(*, within: float = COMMAND_TIMEOUT) -> AsyncIterator[None]:
    """Limit the block to `within` seconds and translate its errors.

    Raises Unavailable for an outage, Emptied when a stream or its consumer group is gone. Everything else is a bug.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except errors.AuthenticationError as error:
        raise Unavailable("redis", f"HEYDAY_REDIS_URL: {_clause(error)}; correct the user and the password") from error
    except _OUTAGES as error:
        raise Unavailable("redis", str(error) or f"no answer within {within:g} s") from error
    except RuntimeError as error:
        # uvloop raises it when a connection is closed during a write.
        if "closed" not in str(error):
            raise
        raise Unavailable("redis", "the connection was closed") from error
    except (errors.MovedError, errors.ClusterCrossSlotError) as error:
        raise Unsupported("redis", CLUSTER_REFUSED) from error
    except errors.ResponseError as error:
        # Before the server's words, a pipeline, or a script before Redis 7, puts its own.
        reply = str(error)
        if any(one in reply for one in _EMPTIED_BY_REPLY):
            raise Emptied(f"redis: {reply}") from error
        if isinstance(error, errors.NoPermissionError):
            raise Unavailable("redis", f"{_clause(error)}; allow it to the user of HEYDAY_REDIS_URL") from error
        full = isinstance(error, errors.OutOfMemoryError)
        if full or refuses_writes(error) or any(one in reply for one in _OUTAGES_BY_REPLY):
            raise Unavailable("redis", reply) from error
        raise


def _clause(error: Exception) -> str:
    return str(error).rstrip(". ")


def is_wrong_type(error: Exception) -> bool:
    """True if a key has a value of another type than the command expects: another program has written it."""
    return isinstance(error, errors.ResponseError) and str(error).startswith("WRONGTYPE")


Reply = Any
"""A reply of the library, whose annotations do not distinguish the two protocols."""
