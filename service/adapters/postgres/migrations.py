"""Applies the numbered files of `schema/`: safe from many nodes at once, and while nodes work.

Each file runs in a transaction of its own, together with the row that notes it. A file that was applied must not change
afterwards: its checksum is noted, too. A file with `create index concurrently` holds nothing else, and runs outside a
transaction, so that writers go on (see indexes.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from service.adapters.postgres.connection import connect_once, in_one_session, server_sentence, translating
from service.adapters.postgres.indexes import build_indexes, is_built_beside_writers, with_short_locks
from service.ports import Unavailable, UnsuitableDatabase

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

# Any number will do; it must only be the same in every version of heyday.
_LOCK = 0x68657964  # "heyd"

LOCK_POLL_INTERVAL = 0.2
"""Seconds between two looks at whether another migration has ended."""

LOCK_WAIT = 600.0
"""Seconds to wait for another migration."""

_NUMBERED = re.compile(r"\d{4}_\w+\.sql")

_LEDGER = """
create table schema_migrations (
    number     integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default clock_timestamp()
)
"""

_MAY_CREATE = """
select current_user as role, coalesce(current_schema(), 'public') as schema,
    has_schema_privilege(coalesce(current_schema(), 'public'), 'usage')
        and has_schema_privilege(coalesce(current_schema(), 'public'), 'create') as may_create
"""

# A schema that the role may not use is left out of the search path, as if nothing had been migrated.
_HIDDEN = """
select n.nspname as schema, current_user as role
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = 'schema_migrations' and n.nspname = 'public' and not has_schema_privilege(n.oid, 'usage')
"""


class MigrationFailed(Exception):
    """The schema cannot be brought up to date until a person has acted; the text says how."""


class MigrationChanged(MigrationFailed):
    """A schema file that was applied has changed since: files are append-only."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def available() -> list[Migration]:
    """The migrations of this version, in order."""
    files = (file for file in _folder().iterdir() if _NUMBERED.fullmatch(file.name))
    found = (Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8")) for file in files)
    return sorted(found, key=lambda migration: migration.number)


def _folder() -> Traversable:
    """Return the folder of the files: beside this module in a wheel, else `schema/` of the repository."""
    packaged = resources.files(__package__).joinpath("schema")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "schema"


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the names of the files applied.

    Raises Unavailable when the database is away or another migration does not end, MigrationFailed when this role lacks
    a privilege, MigrationChanged when an applied file differs.
    """
    async with alone(dsn):
        connection = await connect_once(dsn)
        try:
            with translating():
                return await _apply_all(connection)
        finally:
            connection.terminate()


@asynccontextmanager
async def alone(dsn: str) -> AsyncIterator[None]:
    """Let one migration, or one other change of the tables, run at a time.

    The lock is held by an open transaction, so that it also holds behind a pooler, and goes with the connection. A wait
    inside the server would hold up `create index concurrently`, which waits for older statements.
    """
    connection = await connect_once(dsn)
    began = time.monotonic()
    try:
        with translating():
            while True:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute("set local idle_in_transaction_session_timeout = 0")
                # Only the status tells: a row that is read keeps a snapshot, for which the build of an index waits.
                if await connection.execute(f"select 1 where pg_try_advisory_xact_lock({_LOCK})") == "SELECT 1":
                    break
                await transaction.rollback()
                if time.monotonic() - began > LOCK_WAIT:
                    raise Unavailable("postgres", f"another migration has been running for {LOCK_WAIT:.0f} s")
                await asyncio.sleep(LOCK_POLL_INTERVAL)
        yield
    finally:
        connection.terminate()


async def _apply_all(connection: Connection) -> list[str]:
    try:
        check_encoding(connection)
    except UnsuitableDatabase as error:
        raise MigrationFailed(str(error)) from error
    try:
        async with in_one_session(connection):
            if not await _is_begun(connection):
                await connection.execute(_LEDGER)
        return [migration.name for migration in available() if await _apply(connection, migration)]
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError) as error:
        raise MigrationFailed(await _lacking_privilege(connection, error)) from error


async def _lacking_privilege(connection: Connection, error: asyncpg.PostgresError) -> str:
    async with in_one_session(connection):
        role, schema, may_create = await connection.fetchrow(_MAY_CREATE) or ("", "", True)
    if may_create:
        return f"{server_sentence(error)}: run `heyday migrate` as the role that owns the tables of heyday"
    grant = f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{role}"'
    return f"the role {role} may not create tables in the schema {schema}: run as its owner: {grant};"


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with in_one_session(connection):
        query = "select checksum from schema_migrations where number = $1"
        before = await connection.fetchval(query, migration.number)
    if before is not None:
        if before != migration.checksum:
            raise MigrationChanged(f"{migration.name} was applied before, and has changed since")
        return False
    if is_built_beside_writers(migration.sql):
        await build_indexes(connection, migration.sql)
        await with_short_locks(connection, _note(migration))
        return True
    await with_short_locks(connection, migration.sql, _note(migration))
    return True


def _note(migration: Migration) -> tuple[object, ...]:
    """The statement that records a file as applied."""
    insert = "insert into schema_migrations (number, name, checksum) values ($1, $2, $3)"
    return insert, migration.number, migration.name, migration.checksum


def check_encoding(connection: Connection) -> None:
    """Raise UnsuitableDatabase for a database that cannot hold every name."""
    # The stubs know only some of the parameters that a server reports.
    encoding: str = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding != "UTF8":
        raise UnsuitableDatabase(
            f"the database is encoded in {encoding}, and names of people need UTF8: make it anew with "
            "CREATE DATABASE heyday ENCODING 'UTF8' TEMPLATE template0"
        )


async def _is_begun(connection: Connection) -> bool:
    return bool(await connection.fetchval("select to_regclass('schema_migrations') is not null"))


def _may_not_use(schema: str, role: str) -> str:
    grant = f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"'
    return f"the role {role} may not use the schema {schema}: run as its owner: {grant};"


async def latest(connection: Connection) -> int:
    """The number of the last applied file. 0 if none was ever applied."""
    if not await _is_begun(connection):
        return 0
    return int(await connection.fetchval("select max(number) from schema_migrations") or 0)


async def missing(connection: Connection) -> list[str]:
    """Names of the files of this version that are not applied. Raises UnsuitableDatabase."""
    check_encoding(connection)
    if not await _is_begun(connection):
        if (hidden := await connection.fetchrow(_HIDDEN)) is not None:
            raise Unavailable("postgres", _may_not_use(*hidden))
        return [migration.name for migration in available()]
    numbers = {row["number"] for row in await connection.fetch("select number from schema_migrations")}
    return [migration.name for migration in available() if migration.number not in numbers]


async def newer(connection: Connection) -> list[str]:
    """Names of the applied files that this version does not have: a newer version has migrated."""
    query = "select name from schema_migrations where number > $1 order by number"
    return [row["name"] for row in await connection.fetch(query, available()[-1].number)]


async def newer_in(dsn: str) -> list[str]:
    """The same for a migrated database that is not connected yet. Raises Unavailable."""
    connection = await connect_once(dsn)
    try:
        with translating():
            async with in_one_session(connection):
                return await newer(connection)
    finally:
        connection.terminate()
