"""A pool of connections in which every call has a deadline and every outage is `Unavailable`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from service.adapters.postgres.session import CONNECT_TIMEOUT, SET_LOCAL, SETTINGS, Servers, Session
from service.ports import PoolState, Unavailable

if TYPE_CHECKING:
    # Generic in their stubs only.
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

QUERY_TIMEOUT = 15.0
"""Seconds for one statement. The largest batches take well under one second."""

MIGRATE_TIMEOUT = 600.0
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
    # The library's own state is broken: the server ended the connection just as a statement was sent.
    asyncpg.InternalClientError,
)
"""Errors of a server that is away or busy. Any other error is a bug and crashes the actor."""

_OF_RAISE = "exec_stmt_raise"
"""The function of the server that reports errors of `raise`: a trigger refuses, and no privilege is missing."""

_UNANSWERED = (TimeoutError, asyncpg.InternalClientError, asyncio.CancelledError)
"""After these errors a connection may be in the middle of an answer. It is closed without waiting for the rest."""

_UNUSABLE = (*_UNANSWERED, asyncpg.ReadOnlySQLTransactionError)
"""After these errors a connection is closed. A server that became a standby refuses all other writes, too."""


@contextmanager
def translating() -> Iterator[None]:
    """Turn the errors of a server that is away into Unavailable."""
    try:
        yield
    except TRANSIENT as error:
        raise Unavailable("postgres", server_sentence(error)) from error
    except asyncpg.InsufficientPrivilegeError as error:
        if error.server_source_function == _OF_RAISE:
            raise
        raise Unavailable(
            "postgres",
            f"the role of HEYDAY_DATABASE_URL lacks a privilege ({server_sentence(error)}): run `heyday doctor` with "
            "this URL, and let the owner run the GRANT that it names, or deploy/postgres/roles.sql",
        ) from error
    except asyncpg.ClientConfigurationError as error:
        # A file of certificates is gone that was there when the settings were read.
        raise Unavailable("postgres", server_sentence(error)) from error
    except asyncpg.InterfaceError as error:
        # asyncpg has one class for a closed connection, which is an outage, and for misuse, which is a bug. The text
        # about an argument quotes the argument.
        if not isinstance(error, ValueError) and "clos" in str(error):
            raise Unavailable("postgres", server_sentence(error)) from error
        raise
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedColumnError) as error:
        raise Unavailable(
            "postgres",
            f"the schema is not ready, run `heyday migrate`; if it was run, grant this role USAGE on the schema: "
            f"{server_sentence(error)}",
        ) from error


def server_sentence(error: BaseException) -> str:
    """The server's sentence without its detail and hint, which may quote rows: outages are shown to everyone."""
    text = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else str(error)
    if not text and isinstance(error, TimeoutError):
        return "no answer in time"
    return str(text) or type(error).__name__


async def connect_once(dsn: str) -> Session:
    """Make one connection outside any pool, for migrations and checks. Raises Unavailable."""
    with translating():
        return await Servers(dsn).connect(command_timeout=MIGRATE_TIMEOUT)


@asynccontextmanager
async def in_transaction(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction with the time-outs of a session, because behind a pooler no setting lasts longer."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if is_pooled(connection):
            await connection.execute(SET_LOCAL)
        yield
    except _UNANSWERED:
        raise  # the connection is closed, and the server rolls back without being asked
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.commit()


@asynccontextmanager
async def in_one_session(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction behind a pooler, which keeps one session of the server meanwhile. Elsewhere do nothing."""
    if is_pooled(connection):
        async with in_transaction(connection):
            yield
    else:
        yield


def is_pooled(connection: Connection) -> bool:
    """True when a pooler such as PgBouncer is between this connection and the server."""
    return bool(getattr(connection, "pooled", False))


async def _leave_as_it_is(_connection: Connection) -> None:
    """Reset nothing, because no code changes a session beyond its transaction. asyncpg's reset costs a round trip."""


@dataclass
class _Use:
    """The use of a pool by all its shares: connections taken, and callers that wait for one."""

    taken: int = 0
    waiting: int = 0


class Database:
    """A pool of connections.

    `observe(query, seconds)` takes the duration of each statement. `waited(seconds)` takes the wait of a caller while
    every connection was in use. `opened(connection)` runs before a new connection is used.
    """

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
        self._servers = Servers(dsn, SETTINGS)
        self._size = size
        self._observe = observe
        self._waited = waited
        self._opened = opened
        self._use = _Use()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._whole = self
        self._places = asyncio.Semaphore(size)

    def share(self, most: int) -> Database:
        """Return the same pool, limited to `most` connections at once for the callers of this share.

        It is opened and closed with the whole.
        """
        shared = Database(self._dsn, size=self._size, observe=self._observe, waited=self._waited)
        shared._use = self._use
        shared._whole, shared._places = self._whole, asyncio.Semaphore(most)
        return shared

    async def open(self) -> None:
        """Create the pool. Connections are made when they are needed, so the server may be down."""
        self._pool = asyncpg.create_pool(
            connect=self._connect,
            connection_class=Session,
            min_size=0,
            max_size=self._size,
            timeout=CONNECT_TIMEOUT,
            command_timeout=QUERY_TIMEOUT,
            init=self._init,
            reset=_leave_as_it_is,
        )
        await self._pool

    async def use(self, dsn: str) -> None:
        """Connect to another URL from now on. A connection in use is closed when it is returned."""
        self._dsn, self._servers = dsn, Servers(dsn, SETTINGS)
        if self._pool is not None:
            await self._pool.expire_connections()

    async def _connect(self, *arguments: Any, **options: Any) -> Session:
        return await self._servers.connect(*arguments, **options)

    async def _init(self, connection: Connection) -> None:
        if self._opened is not None:
            async with in_one_session(connection):
                await self._opened(connection)

    async def close(self) -> None:
        """Close every connection at once, also when the server does not answer."""
        if self._pool is not None:
            self._pool.terminate()

    @property
    def state(self) -> PoolState:
        """The connections of the pool now."""
        if self._pool is None:
            return PoolState(0, 0, self._size)
        idle = self._pool.get_idle_size()
        return PoolState(self._pool.get_size() - idle, idle, self._size, self._use.waiting)

    @asynccontextmanager
    async def connection(self, *, within: float = CONNECT_TIMEOUT) -> AsyncIterator[Connection]:
        """Lend a connection of the pool, within this many seconds. Raises Unavailable, also from the body.

        Behind a pooler the body is one transaction.
        """
        async with self._acquired(within) as connection, in_one_session(connection):
            yield connection

    @asynccontextmanager
    async def _acquired(self, within: float) -> AsyncIterator[Connection]:
        pool = self._whole._pool  # noqa: SLF001 - one of our own
        if pool is None:
            raise RuntimeError("the pool is not open")
        with translating():
            connection = await self._take(pool, within)
            try:
                yield connection
            except _UNUSABLE:
                # The server may never answer, and a cancel or reset request could take as long.
                with suppress(asyncpg.InterfaceError):  # the library may have closed it already
                    connection.terminate()
                raise
            finally:
                try:
                    await pool.release(connection, timeout=CONNECT_TIMEOUT)
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
        """Open a transaction on a connection of the pool. Raises Unavailable: all or nothing is committed then."""
        async with self._acquired(CONNECT_TIMEOUT) as connection, in_transaction(connection):
            yield connection

    async def fetch(self, query: str, *args: Any, within: float = QUERY_TIMEOUT) -> list[asyncpg.Record]:
        """All rows of one statement in its own transaction. Raises Unavailable."""
        with self.timing(query):
            async with self.connection() as connection:
                return await connection.fetch(query, *args, timeout=within)

    async def row(self, query: str, *args: Any, within: float = QUERY_TIMEOUT) -> asyncpg.Record | None:
        """The first row, or None. Raises Unavailable."""
        rows = await self.fetch(query, *args, within=within)
        return rows[0] if rows else None

    async def value(self, query: str, *args: Any, within: float = QUERY_TIMEOUT) -> Any:
        """The first column of the first row, or None. Raises Unavailable."""
        row = await self.row(query, *args, within=within)
        return row[0] if row is not None else None

    @contextmanager
    def timing(self, query: str) -> Iterator[None]:
        """Give `observe` the duration of the body under the name of the query (see queries.py)."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._observe(query[3 : query.find("\n")], time.perf_counter() - began)
