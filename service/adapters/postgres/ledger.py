"""Compares the acceptances of the email service with the rows, in a table that holds millions of keys meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from service.adapters.postgres import audit
from service.adapters.postgres.connection import connect_once, translating
from service.adapters.postgres.queries import load
from service.ports import AuditAction, Principal, Unavailable

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("ledger.sql")

PAGE_SIZE = 10_000
"""Differences in memory at a time."""


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
        self._comparison = uuid4()

    async def add(self, rows: Sequence[tuple[UUID, datetime | None]]) -> None:
        """Add acceptances: keys with their times, if known."""
        with translating():
            await self._connection.copy_records_to_table(
                "ledger", records=((self._comparison, *row) for row in rows), columns=["comparison", "key", "at"]
            )

    async def bounds(self) -> Bounds:
        """Return the bounds, once everything is added."""
        with translating():
            row = await self._connection.fetchrow(_SQL.bounds, self._comparison)
            assert row is not None  # noqa: S101 - an aggregate has one row
            return Bounds(*row)

    async def differing(
        self, difference: Difference, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[Differing]:
        """Every key with this kind of difference, by key. `since` and `until` bound the messages sent here.

        No transaction is open while the caller writes: a reader may take hours.
        """
        bounds = (since, until) if difference is Difference.NOT_ACCEPTED_THERE else ()
        query = getattr(_SQL, difference)
        after: UUID | None = None
        while True:
            with translating():
                rows = await self._connection.fetch(query, self._comparison, after, PAGE_SIZE, *bounds)
            for row in rows:
                after = row["id"]
                yield Differing(difference, row["id"], row["times"], row["status"], row["status_reason"], row["at"])
            if len(rows) < PAGE_SIZE:
                return

    async def mend(self, *, incarnation: int, reason: str, by: Principal) -> int:
        """Record as sent up to 5,000 messages that are unknown here and accepted there. Returns their number.

        The same transaction adds them to the audit log.
        """
        with translating():
            async with self._connection.transaction():
                rows = await self._connection.fetch(_SQL.mend, self._comparison, incarnation, reason)
                await audit.record(self._connection, by, AuditAction.MESSAGES_MENDED, [row["id"] for row in rows])
        return len(rows)

    async def forget(self) -> None:
        """Remove the ledger."""
        with translating():
            await self._connection.execute(_SQL.forget, self._comparison)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[PostgresLedger]:
    """Open an empty ledger on its own connection, and remove it at the end. Raises Unavailable."""
    connection = await connect_once(dsn)
    try:
        with translating():
            await connection.execute(_SQL.forget_abandoned)
        ledger = PostgresLedger(connection)
        try:
            yield ledger
        finally:
            with suppress(Unavailable):
                await ledger.forget()
    finally:
        connection.terminate()
