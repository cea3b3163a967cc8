"""Makes and drops the databases of tests: copies of a template, which is migrated once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import asyncpg

from tests.servers import Postgres, Servers

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

PATIENCE = 90.0
"""Seconds for any statement of a test on a busy machine."""

LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""Errors on a connection that its server has closed."""

TEMPLATE = "heyday_template"

NEXT_TRANSACTION = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
"""The number of the next transaction that writes, in any database of the server. Those that only read take none."""


class KeptConnection:
    """A connection for the statements of one test. It is made again when its server has closed it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._in_use = asyncio.Lock()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do this on the connection, once more if it was lost, or on another one while it is in use."""
        if self._in_use.locked():
            connection = await self._connect()
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=5)
        async with self._in_use:
            try:
                return await work(await self._opened())
            except LOST:
                await self.close()
                return await work(await self._opened())

    async def close(self) -> None:
        """Close it, also if its server is away."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LOST):
                await connection.close(timeout=5)

    async def _opened(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> Connection:
        # Without a cache, no statement refers to a table that a test has replaced.
        return await asyncpg.connect(self._dsn, timeout=30, command_timeout=PATIENCE, statement_cache_size=0)


class Databases:
    """The databases of the tests of one process, one at a time.

    All use one connection as administrator, because a new one takes half the processor time of a database.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._administrator: KeptConnection | None = None
        self._unwritten: tuple[str, int] | None = None

    def take(self) -> str:
        """Return the name of a new, migrated database, or of the last one if nothing was written in it."""
        return self._runner.run(self._administer(self._take))

    def give_back(self, name: str) -> None:
        """Drop the database, unless nothing was written in it."""
        self._runner.run(self._administer(lambda connection: self._give_back(connection, name)))

    def close(self) -> None:
        """Close the connection."""
        if self._administrator is not None:
            self._runner.run(self._administrator.close())
        self._runner.close()

    async def _administer(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        if not self._postgres.running:
            await self._postgres.start()
        if self._administrator is None:
            self._administrator = KeptConnection(self._postgres.dsn("postgres"))
        return await self._administrator.run(work)

    async def _take(self, connection: Connection) -> str:
        if self._unwritten is None:
            name = f"test_{uuid.uuid4().hex}"
            await _create(self._postgres, connection, name)
            self._unwritten = name, await connection.fetchval(NEXT_TRANSACTION)
        return self._unwritten[0]

    async def _give_back(self, connection: Connection, name: str) -> None:
        idle = f"{NEXT_TRANSACTION} where not exists (select from pg_stat_activity where datname = $1)"
        if (name, await connection.fetchval(idle, name)) != self._unwritten:
            self._unwritten = None
            await _drop(connection, name)


async def create_database(fleet: Servers, name: str) -> None:
    """Create a migrated database."""
    async with _administrator(fleet) as connection:
        await _create(fleet.postgres, connection, name)


async def drop_database(fleet: Servers, name: str) -> None:
    """Drop a database, and end the connections to it."""
    async with _administrator(fleet) as connection:
        await _drop(connection, name)


@asynccontextmanager
async def _administrator(fleet: Servers) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(fleet.postgres.dsn("postgres"))
    try:
        yield connection
    finally:
        await connection.close()


async def _create(postgres: Postgres, connection: Connection, name: str) -> None:
    await _make_template(postgres, connection)
    # Copies of files cost half of what copies by the log do, which are the default since PostgreSQL 15.
    strategy = " strategy file_copy" if connection.get_server_version() >= (15,) else ""
    await connection.execute(f'create database "{name}" template "{TEMPLATE}"{strategy}')


async def _drop(connection: Connection, name: str) -> None:
    await connection.execute(f'drop database if exists "{name}" with (force)')


async def _make_template(postgres: Postgres, connection: Connection) -> None:
    from service.adapters.postgres.migrations import migrate

    if await connection.fetchval("select true from pg_database where datname = $1 and datistemplate", TEMPLATE):
        return
    address = urlsplit(postgres.dsn())
    await connection.execute(f"alter role \"{address.username}\" password '{_quick_secret(address.password or '')}'")
    await connection.execute(f'drop database if exists "{TEMPLATE}"')
    await connection.execute(f'create database "{TEMPLATE}"')
    await migrate(postgres.dsn(TEMPLATE))
    await connection.execute(f'alter database "{TEMPLATE}" is_template true')


def _quick_secret(password: str) -> str:
    """Return the SCRAM secret of a password, which is hashed once and not 4,096 times (RFC 5802, section 3).

    4,096 rounds took a client 1.5 of 4 ms of processor time for each of thousands of connections.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    salt64, stored64, server64 = (
        b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    )
    return f"SCRAM-SHA-256$1:{salt64}${stored64}:{server64}"
