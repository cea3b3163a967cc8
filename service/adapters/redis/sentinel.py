"""Redis by Sentinel: `redis+sentinel://host:port,host:port/service/db` names the sentinels, which know the primary.

`rediss+sentinel://` uses TLS to sentinels and servers. A user name and a password are those of the Redis servers. The
sentinels' own ones are the parameters `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

DEFAULT_PORT = 26379

ASK_TIMEOUT = 0.5
"""Seconds for a sentinel to answer. Then the next one is asked."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """A parsed URL; the options are keyword arguments of the library."""

    sentinels: list[tuple[str, int]]
    service: str
    server_options: dict[str, Any] = field(repr=False)
    sentinel_options: dict[str, Any] = field(repr=False)


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the present primary. A caller waits for a free one."""


def names_sentinels(url: str) -> bool:
    """True for a URL that `parse` takes."""
    return urlsplit(url).scheme in {"redis+sentinel", "rediss+sentinel"}


def parse(url: str) -> SentinelAddress:
    """The parts of a URL that the settings accept."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    parameters = dict(parse_qsl(parts.query))
    own: dict[str, Any] = {
        name: parameters.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in parameters
    }
    # The library parses credentials and parameters.
    server: dict[str, Any] = {
        **parse_url(f"redis://{credentials}{at}?{urlencode(parameters)}"),
        "db": int(database or 0),
    }
    tls = {"ssl": True} if parts.scheme == "rediss+sentinel" else {}
    certificates = {name: value for name, value in server.items() if name.startswith("ssl_")}
    return SentinelAddress(
        sentinels=[_address(host) for host in hosts.split(",")],
        service=unquote(service),
        server_options=server | tls,
        sentinel_options=own | tls | certificates,
    )


def pool(address: SentinelAddress, **options: Any) -> SentinelPool:
    """A pool of connections to the primary, with these options of the library."""
    own = address.sentinel_options | {"socket_timeout": ASK_TIMEOUT, "socket_connect_timeout": ASK_TIMEOUT}
    sentinels = Sentinel(address.sentinels, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    made: SentinelPool = SentinelPool(address.service, sentinels, **address.server_options, **options)  # type: ignore[no-untyped-call]
    return made


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or DEFAULT_PORT
