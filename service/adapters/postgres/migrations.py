"""Applies the numbered files of `schema/` under an advisory lock: safe from many nodes at once.

Each file runs in a transaction of its own together with the row that says so; a file that was applied must not
change afterwards, which its checksum tells.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from service.adapters.postgres.connection import connect_once, translating

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

# Any number will do; it must only be the same in every version of heyday.
_LOCK = 0x68657964  # "heyd"

_NUMBERED = re.compile(r"\d{4}_\w+\.sql")

_LEDGER = """
create table if not exists schema_migrations (
    number     integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default clock_timestamp()
)
"""


class MigrationChanged(Exception):
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
    """The migrations that this version brings, in order."""
    files = (file for file in resources.files("schema").iterdir() if _NUMBERED.fullmatch(file.name))
    found = (Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8")) for file in files)
    return sorted(found, key=lambda migration: migration.number)


async def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the names of the files applied.

    Raises Unavailable when the database is away, MigrationChanged when an applied file differs.
    """
    connection = await connect_once(dsn)
    try:
        with translating():
            # A session lock, because each file commits on its own; it goes with the connection if we die.
            await connection.execute("select pg_advisory_lock($1)", _LOCK)
            await connection.execute(_LEDGER)
            return [migration.name for migration in available() if await _apply(connection, migration)]
    finally:
        connection.terminate()


async def _apply(connection: Connection, migration: Migration) -> bool:
    before = await connection.fetchrow("select checksum from schema_migrations where number = $1", migration.number)
    if before is not None:
        if before["checksum"] != migration.checksum:
            raise MigrationChanged(f"{migration.name} was applied before, and has changed since")
        return False
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into schema_migrations (number, name, checksum) values ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )
    return True


async def latest(connection: Connection) -> int:
    """The number of the last file that the database has seen; 0 if none was ever applied."""
    if not await connection.fetchval("select to_regclass('schema_migrations') is not null"):
        return 0
    return int(await connection.fetchval("select max(number) from schema_migrations") or 0)


async def missing(connection: Connection) -> list[str]:
    """Names of the files of this version that the database has not seen."""
    if not await connection.fetchval("select to_regclass('schema_migrations') is not null"):
        return [migration.name for migration in available()]
    numbers = {row["number"] for row in await connection.fetch("select number from schema_migrations")}
    return [migration.name for migration in available() if migration.number not in numbers]
