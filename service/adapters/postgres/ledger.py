"""Compares the acceptances of the email service with the rows, in a temporary table that holds millions of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import connect_once, is_pooled, translating
from service.adapters.postgres.queries import load
from service.ports import AuditAction, Principal, Unavailable

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("ledger.sql")


class Difference(StrEnum):
    """The kinds of difference between ledger and rows. The values are those of the JSON lines."""

    TWICE = "twice"
    NOT_SENT_HERE = "not_sent_here"
    NOT_OURS = "not_ours"
    NOT_ACCEPTED_THERE = "not_accepted_there"


@dataclass(frozen=True, slots=True)
class Differing:
    """A key that differs: its times in the ledger, state and reason of our row, and when it was accepted or sent."""

    difference: Difference
    id: UUID
    times: int
    status: str | None
    reason: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The size of the ledger, and the instants of its first and last acceptance, if it has instants."""

    lines: int
    keys: int
    first: datetime | None
    last: datetime | None


class PostgresLedger:
    """A ledger under comparison. Every method raises Unavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, rows: Sequence[tuple[UUID, datetime | None]]) -> None:
        """Add acceptances: keys with their times, if known."""
        with translating():
            await self._connection.copy_records_to_table("ledger", records=rows, columns=["key", "at"])

    async def bounds(self) -> Bounds:
        """Return the bounds, once everything is added."""
        with translating():
            await self._connection.execute(_SQL.loaded)
            await self._connection.execute("analyze ledger")
            row = await self._connection.fetchrow(_SQL.bounds)
            assert row is not None  # noqa: S101 - an aggregate has one row
            return Bounds(*row)

    async def differing(
        self, difference: Difference, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[Differing]:
        """Every key with this kind of difference. `since` and `until` bound the messages sent here."""
        bounds = (since, until) if difference is Difference.NOT_ACCEPTED_THERE else ()
        with translating():
            async with self._connection.transaction():
                async for row in self._connection.cursor(getattr(_SQL, difference), *bounds, prefetch=1000):
                    yield Differing(difference, row["id"], row["times"], row["status"], row["status_reason"], row["at"])

    async def mend(self, *, incarnation: int, reason: str, by: Principal) -> int:
        """Record as sent up to 5,000 messages that are unknown here and accepted there. Returns their number.

        The same transaction adds them to the audit log.
        """
        with translating():
            async with self._connection.transaction():
                rows = await self._connection.fetch(_SQL.mend, incarnation, reason)
                await audit.record(self._connection, by, AuditAction.MESSAGES_MENDED, [row["id"] for row in rows])
        return len(rows)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[PostgresLedger]:
    """Open an empty ledger on its own connection. Raises Unavailable, also if temporary tables cannot be made."""
    connection = await connect_once(dsn)
    try:
        if is_pooled(connection):
            reason = "a pooler keeps no temporary table; set HEYDAY_DATABASE_URL to the server itself"
            raise Unavailable("postgres", reason)
        with translating():
            try:
                await connection.execute(_SQL.open)
            except asyncpg.InsufficientPrivilegeError as error:
                reason = "this role may not make temporary tables; set HEYDAY_DATABASE_URL to the role that migrates"
                raise Unavailable("postgres", reason) from error
        yield PostgresLedger(connection)
    finally:
        connection.terminate()
