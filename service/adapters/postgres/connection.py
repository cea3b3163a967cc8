"""A pool of connections in which every call has a deadline and every outage is `Unavailable`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from service.ports import PoolState, Unavailable

if TYPE_CHECKING:
    # Generic in their stubs only.
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

CONNECT_WITHIN = 5.0
"""Seconds to establish one connection."""

QUERY_WITHIN = 15.0
"""Seconds for one statement; the largest batches take well under one."""

MIGRATE_WITHIN = 600.0
"""Seconds for one statement of a migration, which may build an index."""

TRANSIENT = (
    OSError,  # TimeoutError and every ConnectionError included
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,  # deadlock or serialization: the same statement again succeeds
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, just after a failover
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,  # the database is not there yet
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database was closed to connections by its administrator
    # The library's own state is broken: a statement was given to a connection just as the server said goodbye to it.
    asyncpg.InternalClientError,
)
"""What a server does when it is away or busy with itself. Anything else is a bug of ours and is left to crash."""

_UNANSWERED = (TimeoutError, asyncpg.InternalClientError, asyncio.CancelledError)
"""After these a connection may be in the middle of an answer: it is closed, and nobody waits for the rest."""

_SESSION = {
    "application_name": "heyday",
    "timezone": "UTC",
    "jit": "off",  # every statement here is short; compiling one costs more than running it
    "statement_timeout": "30s",  # for the statement whose client is gone: ours give up earlier
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
}


@contextmanager
def translating() -> Iterator[None]:
    """Turn what a server does when it is away into Unavailable."""
    try:
        yield
    except TRANSIENT as error:
        raise Unavailable("postgres", _reason(error)) from error
    except asyncpg.InterfaceError as error:
        # One class for a closed connection, which is an outage, and for misuse, which is a bug; what it says of an
        # argument quotes the argument.
        if not isinstance(error, ValueError) and "clos" in str(error):
            raise Unavailable("postgres", _reason(error)) from error
        raise
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedColumnError) as error:
        raise Unavailable("postgres", f"the schema is not ready, run `heyday migrate`: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The server's sentence alone: its detail and its hint may quote rows, and outages are shown to everybody."""
    text = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else str(error)
    return str(text) or type(error).__name__


async def connect_once(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """One connection outside any pool, for migrations and checks. Raises Unavailable."""
    with translating():
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_WITHIN,
            command_timeout=MIGRATE_WITHIN,
            # Waiting for a lock, a change of the schema holds up everybody behind it: better to fail, and be run again.
            server_settings={"application_name": "heyday", "lock_timeout": "60s"},
        )


async def _leave_as_it_is(_connection: Connection) -> None:
    """Nothing here changes a session beyond its transaction, which the library ends: resetting it in the server, as the
    library would, is a round trip after each statement."""


@dataclass
class _Use:
    """How a pool is used, by all its shares: connections taken, and callers that wait for one."""

    taken: int = 0
    waiting: int = 0


class Database:
    """The pool. `observe(query, seconds)` is told how long each statement took, `waited(seconds)` how long a caller had
    to wait while every connection was in use, and `opened(connection)` comes before anything else that a new connection
    is used for."""

    def __init__(
        self,
        dsn: str,
        *,
        size: int,
        observe: Callable[[str, float], None] = lambda _query, _seconds: None,
        waited: Callable[[float], None] = lambda _seconds: None,
        opened: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._observe = observe
        self._waited = waited
        self._opened = opened
        self._use = _Use()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._whole = self
        self._places = asyncio.Semaphore(size)

    def share(self, most: int) -> Database:
        """The same pool, of which at most so many connections are used at once: whoever asks without end leaves the
        others to everybody else. It is opened and closed with the whole."""
        shared = Database(self._dsn, size=self._size, observe=self._observe, waited=self._waited)
        shared._use = self._use
        shared._whole, shared._places = self._whole, asyncio.Semaphore(most)
        return shared

    async def open(self) -> None:
        """Make the pool; connections are made when they are needed, so a server that is away does not matter yet."""
        self._pool = asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._size,
            timeout=CONNECT_WITHIN,
            command_timeout=QUERY_WITHIN,
            server_settings=_SESSION,
            init=self._opened,
            reset=_leave_as_it_is,
        )
        await self._pool

    async def close(self) -> None:
        """Close every connection, at once where a server does not answer."""
        if self._pool is not None:
            self._pool.terminate()

    @property
    def state(self) -> PoolState:
        """How the pool is used now."""
        if self._pool is None:
            return PoolState(0, 0, self._size)
        idle = self._pool.get_idle_size()
        return PoolState(self._pool.get_size() - idle, idle, self._size, self._use.waiting)

    @asynccontextmanager
    async def connection(self, *, within: float = CONNECT_WITHIN) -> AsyncIterator[Connection]:
        """A connection of the pool, had within so many seconds. Raises Unavailable, from the body too."""
        pool = self._whole._pool  # noqa: SLF001 - one of our own
        if pool is None:
            raise RuntimeError("the pool is not open")
        with translating():
            connection = await self._take(pool, within)
            try:
                yield connection
            except _UNANSWERED:
                # The server may never answer: asking it to cancel, or to reset, could wait as long.
                with suppress(asyncpg.InterfaceError):  # the library may have given it up already
                    connection.terminate()
                raise
            finally:
                try:
                    await pool.release(connection, timeout=CONNECT_WITHIN)
                finally:
                    self._use.taken -= 1
                    self._places.release()

    async def _take(
        self, pool: asyncpg.Pool[asyncpg.Record], within: float
    ) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
        if not self._places.locked() and self._use.taken < self._size:
            return await self._take_at_once(pool, within)
        began = time.perf_counter()
        self._use.waiting += 1
        try:
            return await self._take_at_once(pool, within)
        finally:
            self._use.waiting -= 1
            self._waited(time.perf_counter() - began)

    async def _take_at_once(
        self, pool: asyncpg.Pool[asyncpg.Record], within: float
    ) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
        async with asyncio.timeout(within):
            await self._places.acquire()
            try:
                connection = await pool.acquire()
            except BaseException:
                self._places.release()
                raise
        self._use.taken += 1
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction on a connection of the pool. Raises Unavailable; nothing is committed then, or all of it is."""
        async with self.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except _UNANSWERED:
                raise  # the connection is closed, and the server rolls back without being asked
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    async def fetch(self, query: str, *args: Any, within: float = QUERY_WITHIN) -> list[asyncpg.Record]:
        """All rows of one statement, which commits by itself. Raises Unavailable."""
        with self.timing(query):
            async with self.connection() as connection:
                return await connection.fetch(query, *args, timeout=within)

    async def row(self, query: str, *args: Any, within: float = QUERY_WITHIN) -> asyncpg.Record | None:
        """The first row, or None. Raises Unavailable."""
        rows = await self.fetch(query, *args, within=within)
        return rows[0] if rows else None

    async def value(self, query: str, *args: Any, within: float = QUERY_WITHIN) -> Any:
        """The first column of the first row, or None. Raises Unavailable."""
        row = await self.row(query, *args, within=within)
        return row[0] if row is not None else None

    @contextmanager
    def timing(self, query: str) -> Iterator[None]:
        """Tell `observe` how long the body took, under the name of the query (see queries.py)."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._observe(query[3 : query.find("\n")], time.perf_counter() - began)
