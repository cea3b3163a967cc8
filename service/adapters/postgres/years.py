"""Removes the messages and attempts of old years: detach the tables of a year, check them, drop them.

`alter table ... detach partition ... concurrently` takes no lock that a statement of a node waits for (PostgreSQL 14
and later). It runs outside a transaction. Interrupted, it leaves the table half detached; `finalize` completes that. A
comment on each table marks what a run has begun to remove, so that the next run goes on with it and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import connect_once, in_one_session, is_pooled, server_sentence, translating
from service.adapters.postgres.indexes import LOCK_TIMEOUT, PAUSE, with_short_locks
from service.adapters.postgres.migrations import alone
from service.adapters.postgres.queries import load
from service.domain.messages import OPEN
from service.ports import AuditAction, Principal

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("years.sql")

MARK = "heyday prune removes this table"
"""The comment on a table that is being removed."""

DETACH_WAIT = 600.0
"""Seconds to wait for transactions that use the tables, such as a backup. Nodes have none that lasts a minute."""


class YearNotRemoved(Exception):
    """A year cannot be removed. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class YearTable:
    """The table of one year: `base` is `messages` or `attempts`. `pending`: a detachment was interrupted."""

    base: str
    name: str
    year: int
    attached: bool
    pending: bool
    marked: bool
    bytes: int

    @property
    def is_ours(self) -> bool:
        """False for a table that a person has detached."""
        return self.attached or self.marked


@dataclass(frozen=True, slots=True)
class RemovedYear:
    """The rows and bytes of a year."""

    year: int
    messages: int
    attempts: int
    bytes: int


class Years:
    """The tables of old years, over one connection of the role that owns them. Every method raises Unavailable."""

    def __init__(self, connection: Connection, *, wait: float = DETACH_WAIT) -> None:
        self._connection = connection
        self._wait = wait

    async def this_year(self) -> int:
        """The year now, in UTC."""
        async with in_one_session(self._connection):
            return int(await self._connection.fetchval(_SQL.this_year))

    async def tables(self, before: int) -> list[YearTable]:
        """The tables of years before this one, oldest first. In each year, messages come first."""
        async with in_one_session(self._connection):
            rows = await self._connection.fetch(_SQL.tables, MARK)
        return [YearTable(**row) for row in rows if row["year"] < before]

    async def open_messages(self, before: int) -> dict[int, int]:
        """Messages that have not ended, by year, of years before this one that have any."""
        async with in_one_session(self._connection):
            return {row["year"]: row["open"] for row in await self._connection.fetch(_SQL.open_messages, before)}

    async def count(self, tables: Sequence[YearTable]) -> RemovedYear:
        """The rows and bytes of the tables of one year."""
        rows = {table.base: sum((await self._rows(table)).values()) for table in tables}
        size = sum(table.bytes for table in tables)
        return RemovedYear(tables[0].year, rows.get("messages", 0), rows.get("attempts", 0), size)

    async def remove(self, tables: Sequence[YearTable], *, by: Principal) -> RemovedYear:
        """Remove the tables of one year. Raises YearNotRemoved, and keeps them, if a message of it is unsent."""
        for table in tables:
            await with_short_locks(self._connection, f"comment on table {table.name} is '{MARK}'")
            await self._detach(table)
            # The year can no longer change. A message that was redriven since the first check is seen here.
            if table.base == "messages" and (unsent := await self._open_in(table)):
                await self._attach(table)
                raise YearNotRemoved(f"{table.year} has {unsent} unsent messages: they were redriven a moment ago")
        removed = await self.count(tables)
        await with_short_locks(
            self._connection,
            f"drop table {', '.join(table.name for table in tables)}",
            audit.entry(by, AuditAction.YEAR_PRUNED, [removed.year]),
        )
        return removed

    async def _rows(self, table: YearTable) -> dict[str, int]:
        """Counts of the rows by status, or by outcome."""
        kind = "status" if table.base == "messages" else "outcome"
        async with in_one_session(self._connection):
            rows = await self._connection.fetch(f"select {kind} as kind, count(*) from {table.name} group by 1")  # noqa: S608 - names from the catalog
        return {row["kind"]: row["count"] for row in rows}

    async def _open_in(self, table: YearTable) -> int:
        return sum(count for status, count in (await self._rows(table)).items() if status in OPEN)

    async def _detach(self, table: YearTable) -> None:
        began = time.monotonic()
        while (present := await self._now(table)).attached:
            way = "finalize" if present.pending else "concurrently"
            try:
                await self._connection.execute(f"alter table {table.base} detach partition {table.name} {way}")
            except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, asyncpg.DeadlockDetectedError) as error:
                if time.monotonic() - began > self._wait:
                    raise YearNotRemoved(
                        f"{table.name} is in use by another session, such as a backup ({server_sentence(error)}). "
                        "Run the command again later: it goes on where it stopped"
                    ) from error
                await asyncio.sleep(PAUSE)
            except asyncpg.ObjectNotInPrerequisiteStateError:
                # A default partition forbids it. Then it takes a lock of the whole table, for a moment.
                await with_short_locks(self._connection, f"alter table {table.base} detach partition {table.name}")

    async def _attach(self, table: YearTable) -> None:
        await with_short_locks(
            self._connection,
            f"alter table {table.base} attach partition {table.name} for values in ({table.year})",
            f"comment on table {table.name} is null",
        )

    async def _now(self, table: YearTable) -> YearTable:
        return next(one for one in await self.tables(table.year + 1) if one.name == table.name)


@asynccontextmanager
async def opened_years(dsn: str, *, wait: float = DETACH_WAIT) -> AsyncIterator[Years]:
    """Open the years over an own connection, while no migration and no other run works. Raises Unavailable."""
    async with alone(dsn):
        connection = await connect_once(dsn)
        try:
            with translating():
                try:
                    if not is_pooled(connection):
                        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
                    yield Years(connection, wait=wait)
                except asyncpg.InsufficientPrivilegeError as error:
                    raise YearNotRemoved(
                        f"{server_sentence(error)}: run the command as the role that owns the tables of heyday"
                    ) from error
        finally:
            connection.terminate()
