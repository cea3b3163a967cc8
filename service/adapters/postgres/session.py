"""Opens sessions with the first server that can be written, and sets them up, also behind a pooler.

A pooler such as PgBouncer may give each transaction another session of the server. So nothing is kept in a session
there: no prepared statement, and no setting beyond its transaction. PgBouncer refuses settings in the start-up message
(its manual, `ignore_startup_parameters`), so none is sent.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from service.certificates import tls_sentence
from service.database_url import DatabaseUrl, authorities, parse_database_url
from service.ports import Unavailable

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # generic in its stubs only

CONNECT_TIMEOUT = 5.0
"""Seconds to establish one connection."""

SEVERAL_SERVERS_TIMEOUT = 4.0
"""Seconds to try all of several servers once, so that one that does not answer leaves time for the others."""

SETTINGS = {
    "timezone": "UTC",
    "jit": "off",  # every statement here is short; compiling one costs more than running it
    # A plan is kept until its tables are analyzed. A plan that was made while they were small would read them
    # from end to end once they have grown. So a page read in a row costs the planner more than any look-up by key.
    "seq_page_cost": "100",
    "statement_timeout": "30s",  # for a statement whose client is gone: our clients give up earlier
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
}

_REFUSES_TLS = "rejected SSL upgrade"
"""Words of asyncpg's error, which has no class of its own."""

SET_LOCAL = "; ".join(f"set local {name} = '{value}'" for name, value in SETTINGS.items())


class Session(_Connection):
    """A connection. `pooled`: a pooler is between it and the server."""

    pooled = False


class Servers:
    """The servers of one URL. The one that was found last is tried first.

    `settings` are set in each session that is not pooled.
    """

    def __init__(self, dsn: str, settings: dict[str, str] | None = None) -> None:
        try:
            url = parse_database_url(dsn)
        except ValueError as error:  # a file that was there when the settings were read
            raise Unavailable("postgres", f"HEYDAY_DATABASE_URL: expected {error}") from None
        self._servers = url.servers
        self._options = _options(url)
        self._settings = settings or {}
        self._first = 0

    async def connect(self, *_args: Any, **options: Any) -> Session:
        """A session with a server that can be written. Raises what asyncpg raises, of the last server tried."""
        several = len(self._servers) > 1
        if several:
            options["timeout"] = SEVERAL_SERVERS_TIMEOUT / len(self._servers)
        error: Exception = ConnectionError("no server was tried")
        # The order is this call's own: others, at the same time, also move the first.
        first = self._first
        for number in (*range(first, len(self._servers)), *range(first)):
            try:
                session = await self._open(self._servers[number], options)
                if not several or await _is_writable(session):
                    self._first = number
                    return session
                session.terminate()
                error = asyncpg.ReadOnlySQLTransactionError("no server of the URL can be written: all are standbys")
            except (
                OSError,
                Unavailable,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as failed:
                error = failed
                if not several:
                    raise
            except BaseException:
                self._first = (number + 1) % len(self._servers)  # cancelled while this one did not answer
                raise
        raise error

    async def _open(self, server: str, options: dict[str, Any]) -> Session:
        session = await self._connect(server, options)
        try:
            if not await _prepare(session, self._settings):
                # Its cache of prepared statements can only be left out from the beginning.
                session.terminate()
                session = await self._connect(server, {**options, "statement_cache_size": 0})
                session.pooled = True
        except BaseException:
            session.terminate()
            raise
        return session

    async def _connect(self, server: str, options: dict[str, Any]) -> Session:
        try:
            session: Session = await asyncpg.connect(
                server,
                **{"timeout": CONNECT_TIMEOUT, **self._options, **options, "connection_class": Session},
                server_settings={"application_name": "heyday"},
            )
        except ssl.SSLError as error:
            sentence = tls_sentence(
                error, setting="HEYDAY_DATABASE_URL", server=_address(server), authorities=authorities(server)
            )
            raise Unavailable("postgres", sentence) from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            said = error.args[0] if error.args else type(error).__name__
            sentence = f"HEYDAY_DATABASE_URL: {_address(server)} refuses the login ({said}); {_remedy(error)}"
            raise Unavailable("postgres", sentence) from error
        except ConnectionError as error:
            if _REFUSES_TLS not in str(error):
                raise
            sentence = (
                f"HEYDAY_DATABASE_URL: {_address(server)} does not speak TLS, which sslmode asks for; enable TLS on "
                "the server, or set sslmode=disable if you trust every machine in between"
            )
            raise Unavailable("postgres", sentence) from error
        except socket.gaierror as error:
            sentence = f"HEYDAY_DATABASE_URL: the host of {_address(server)} is not found ({error.strerror})"
            raise Unavailable("postgres", sentence) from error
        return session


def _address(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.hostname}:{parts.port or 5432}" if parts.hostname else "the socket"


def _remedy(error: asyncpg.InvalidAuthorizationSpecificationError) -> str:
    if isinstance(error, asyncpg.InvalidPasswordError):
        return "correct the user and the password"
    return "correct the user, or allow it in pg_hba.conf; a server that asks for TLS needs sslmode=verify-full"


def _options(url: DatabaseUrl) -> dict[str, Any]:
    return {"ssl": ssl.create_default_context()} if url.system_roots else {}


async def _prepare(session: Session, settings: dict[str, str]) -> bool:
    """Set the session up. Return False when a pooler answered: then nothing was set.

    A pooler makes up the process id that it tells. Only the status of the answer tells of a row: reading one takes a
    prepared statement.
    """
    calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items()) or "1"
    status = await session.execute(f"select {calls} where pg_backend_pid() = {session.get_server_pid()}")
    return status == "SELECT 1"


async def _is_writable(session: Session) -> bool:
    return await session.execute("select 1 where current_setting('transaction_read_only') = 'off'") == "SELECT 1"
