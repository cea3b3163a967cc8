"""Connections to Redis in TLS whose failures name the setting, the file, the server and the remedy."""

from __future__ import annotations

import ssl
from typing import Any

from redis.asyncio import ConnectionPool, SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from service.certificates import OF_THE_SYSTEM, check_authorities, tls_sentence

SETTING = "HEYDAY_REDIS_URL"


class _Explaining(SSLConnection):
    """A connection whose certificate may not be accepted. The library gives only OpenSSL's code."""

    async def _connect(self) -> None:
        file, folder = self.ssl_context.ca_certs, self.ssl_context.ca_path
        if file:
            try:
                check_authorities("ssl_ca_certs", file)
            except ValueError as error:  # the file was there when the settings were read
                raise RedisConnectionError(f"{SETTING}: expected {error}") from error
        try:
            await super()._connect()  # type: ignore[no-untyped-call]
        except ssl.SSLError as error:
            named = f"ssl_ca_certs={file}" if file else f"ssl_ca_path={folder}" if folder else OF_THE_SYSTEM
            server = f"{self.host}:{self.port}"
            raise RedisConnectionError(
                tls_sentence(error, setting=SETTING, server=server, authorities=named)
            ) from error


class _ExplainingSentinelManaged(SentinelManagedSSLConnection, _Explaining):
    """The same for a server that sentinels name."""


_EXPLAINING: dict[type[Any], type[Any]] = {
    SSLConnection: _Explaining,
    SentinelManagedSSLConnection: _ExplainingSentinelManaged,
}


def explain_tls(pool: ConnectionPool) -> ConnectionPool:
    """Let a pool make such connections, if it makes connections in TLS."""
    pool.connection_class = _EXPLAINING.get(pool.connection_class, pool.connection_class)
    return pool
