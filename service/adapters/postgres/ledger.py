"""Compares what the email service has accepted with our rows, in a temporary table: millions of keys cost no memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from service.adapters.postgres.connection import connect_once, translating
from service.adapters.postgres.queries import load

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("ledger.sql")


class Difference(StrEnum):
    """How ledger and rows can differ; the values are those of the JSON lines."""

    TWICE = "twice"
    NOT_SENT_HERE = "not_sent_here"
    NOT_OURS = "not_ours"
    NOT_ACCEPTED_THERE = "not_accepted_there"


@dataclass(frozen=True, slots=True)
class Differing:
    """A key that differs: its times in the ledger, our row's state and reason, and when it was accepted, or sent."""

    difference: Difference
    id: UUID
    times: int
    status: str | None
    reason: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the ledger has, and the instants of its first and last acceptance, if it has instants."""

    lines: int
    keys: int
    first: datetime | None
    last: datetime | None


class PostgresLedger:
    """A ledger that is being compared. Every method raises Unavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, rows: Sequence[tuple[UUID, datetime | None]]) -> None:
        """Add acceptances: keys, and when, if that is known."""
        with translating():
            await self._connection.copy_records_to_table("ledger", records=rows, columns=["key", "at"])

    async def bounds(self) -> Bounds:
        """Once everything was added."""
        with translating():
            await self._connection.execute(_SQL.loaded)
            await self._connection.execute("analyze ledger")
            row = await self._connection.fetchrow(_SQL.bounds)
            assert row is not None  # noqa: S101 - an aggregate has one row
            return Bounds(*row)

    async def differing(
        self, difference: Difference, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[Differing]:
        """Every key that differs in that way; `since` and `until` bound what was sent here."""
        bounds = (since, until) if difference is Difference.NOT_ACCEPTED_THERE else ()
        with translating():
            async with self._connection.transaction():
                async for row in self._connection.cursor(getattr(_SQL, difference), *bounds, prefetch=1000):
                    yield Differing(difference, row["id"], row["times"], row["status"], row["reason"], row["at"])

    async def mend(self, *, incarnation: int, reason: str) -> int:
        """Record up to 5,000 messages as sent that are unknown here and accepted there. Returns how many."""
        with translating():
            return len(await self._connection.fetch(_SQL.mend, incarnation, reason))


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[PostgresLedger]:
    """An empty ledger on a connection of its own. Raises Unavailable."""
    connection = await connect_once(dsn)
    try:
        with translating():
            await connection.execute(_SQL.open)
        yield PostgresLedger(connection)
    finally:
        connection.terminate()
