"""Builds indexes while writers go on, also on partitioned tables, which `create index concurrently` refuses.

For a partitioned table the index is made on the parent alone, then concurrently on each partition, and attached
(PostgreSQL manual, "Table Partitioning", and CREATE INDEX). An incomplete index is built again.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import asyncpg

from service.adapters.postgres.connection import in_one_session

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

LOCK_TIMEOUT = "3s"
"""Time for which a migration waits for a lock of a table. While it waits, statements of nodes wait behind it."""

TRIES = 20

PAUSE = 1.0
"""Seconds between two tries."""

_CONCURRENTLY = re.compile(
    r"create\s+(?P<unique>unique\s+)?index\s+concurrently\s+(?P<name>\w+)\s+on\s+(?P<table>\w+)\s+(?P<definition>[^;]+);",
    re.IGNORECASE,
)

_COMMENT = re.compile(r"--[^\n]*")

_PARTITIONED = "select relkind = 'p' from pg_class where oid = to_regclass($1)"

_PARTITIONS = "select inhrelid::regclass::text as name from pg_inherits where inhparent = to_regclass($1) order by 1"

_STATE = """
select i.indisvalid as valid, exists (select from pg_inherits where inhrelid = i.indexrelid) as attached
from pg_index i where i.indexrelid = to_regclass($1)
"""

_COVERED = """
select exists (
    select from pg_inherits h join pg_index i on i.indexrelid = h.inhrelid
    where h.inhparent = to_regclass($1) and i.indrelid = to_regclass($2))
"""


async def with_short_locks(connection: Connection, *statements: str | tuple[object, ...]) -> None:
    """Run statements in one transaction that waits only briefly for a lock. Repeat it if the lock was not free.

    A statement with arguments is a tuple. Raises asyncpg.LockNotAvailableError after the last try.
    """
    for left in reversed(range(TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"set local timezone = 'UTC'; set local lock_timeout = '{LOCK_TIMEOUT}'")
                for statement in statements:
                    query, *args = (statement,) if isinstance(statement, str) else statement
                    await connection.execute(str(query), *args)
            return
        except asyncpg.LockNotAvailableError:
            if left == 0:
                raise
            # Statements that waited behind this one go first.
            await asyncio.sleep(PAUSE)


def is_built_beside_writers(sql: str) -> bool:
    """True for a file of `create index concurrently`. Raises ValueError if it has other statements, too."""
    text = _COMMENT.sub("", sql)
    if not _CONCURRENTLY.search(text):
        return False
    if rest := _CONCURRENTLY.sub("", text).strip():
        raise ValueError(f"a file of `create index concurrently` holds nothing else, and not {rest[:60]!r}")
    return True


async def build_indexes(connection: Connection, sql: str) -> None:
    """Build each index of the file, or its missing parts."""
    for found in _CONCURRENTLY.finditer(_COMMENT.sub("", sql)):
        name, table, definition = found["name"], found["table"], found["definition"].strip()
        if await _value(connection, _PARTITIONED, table):
            await _build_on_partitions(connection, name, table, definition)
        else:
            await _build_on(connection, name, table, definition, unique=found["unique"] is not None)


async def _build_on_partitions(connection: Connection, name: str, table: str, definition: str) -> None:
    await with_short_locks(connection, f"create index if not exists {name} on only {table} {definition}")
    for partition in await _partitions(connection, table):
        if not await _value(connection, _COVERED, name, partition):
            of_partition = f"{name}_{partition.rpartition('.')[2].removeprefix(f'{table}_')}"
            await _build_on(connection, of_partition, partition, definition)
            await with_short_locks(connection, f"alter index {name} attach partition {of_partition}")


async def _build_on(connection: Connection, name: str, table: str, definition: str, *, unique: bool = False) -> None:
    async with in_one_session(connection):
        state = await connection.fetchrow(_STATE, name)
    if state is not None and state["valid"]:
        return
    if state is not None:
        await connection.execute(f"drop index concurrently {name}")
    kind = "unique index" if unique else "index"
    await connection.execute(f"create {kind} concurrently {name} on {table} {definition}")


async def _partitions(connection: Connection, table: str) -> list[str]:
    async with in_one_session(connection):
        return [row["name"] for row in await connection.fetch(_PARTITIONS, table)]


async def _value(connection: Connection, query: str, *args: str) -> bool:
    async with in_one_session(connection):
        return bool(await connection.fetchval(query, *args))
