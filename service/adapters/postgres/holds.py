"""The holds of sending, as rows that every node reads several times a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database
from service.adapters.postgres.idempotency import keep_arguments
from service.adapters.postgres.queries import load
from service.domain.holds import Hold
from service.ports import AuditAction, HoldRefused, Keep, Principal, ReservationLost

_SQL = load("holds.sql")
_IDEMPOTENCY = load("idempotency.sql")

MOST_ACTIVE = 100
"""Holds that are active at once."""

READ_TIMEOUT = 2.0
"""Seconds for one reading of the active holds. Older readings are not used for sending."""


class PostgresHolds:
    """Implements `service.ports.Holds`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active(self) -> list[Hold]:
        rows = await self._database.fetch(_SQL.active_holds, MOST_ACTIVE, within=READ_TIMEOUT)
        return [_hold(row) for row in rows]

    async def page(self, *, after: UUID | None, limit: int) -> list[Hold]:
        return [_hold(row) for row in await self._database.fetch(_SQL.page, after, limit)]

    async def create(
        self,
        *,
        occasion: str | None,
        reason: str,
        by: Principal,
        until: datetime | None = None,
        lasts: timedelta | None = None,
        keep: Callable[[Hold], Keep | None] = lambda _hold: None,
    ) -> Hold:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL.take_turn)
            row = await connection.fetchrow(_SQL.create, occasion, reason, by.author, until, lasts, MOST_ACTIVE)
            if row is not None:
                hold = _hold(row)
                await audit.record(connection, by, AuditAction.HOLD_CREATED, [hold.id])
                kept = keep(hold)
                if kept is not None and not await connection.fetch(_IDEMPOTENCY.keep, *keep_arguments([kept])):
                    raise ReservationLost
                return hold
        refused = await self._database.row(_SQL.refused, occasion, until)
        assert refused is not None  # noqa: S101 - a SELECT without FROM has one row
        if refused["no_occasion"]:
            raise HoldRefused("occasion", "Expected the code of an occasion.")
        if refused["ended"]:
            raise HoldRefused("until", "Expected an instant in the future.")
        raise HoldRefused(None, f"Expected {MOST_ACTIVE} active holds at most. Release one first.")

    async def release(self, ids: Sequence[UUID], *, by: Principal) -> list[Hold]:
        async with self._database.transaction() as connection:
            released = await connection.fetch(_SQL.release, ids, by.author)
            await audit.record(connection, by, AuditAction.HOLD_RELEASED, [row["id"] for row in released])
            return [_hold(row) for row in await connection.fetch(_SQL.by_ids, ids)]


def _hold(row: asyncpg.Record) -> Hold:
    return Hold(**dict(row))
