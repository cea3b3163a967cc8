"""The addresses that get nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.suppressions import NewSuppression, Suppression, SuppressionReason, address_hash
from service.domain.users import email_key
from service.ports import AddedSuppression, AuditAction, Principal

_SQL = load("suppressions.sql")


class PostgresSuppressions:
    """Implements `service.ports.Suppressions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, email: str | None, reason: SuppressionReason | None, after: UUID | None, limit: int
    ) -> list[Suppression]:
        found = None if email is None else address_hash(email)
        return [_suppression(row) for row in await self._database.fetch(_SQL.page, after, found, reason, limit)]

    async def add(self, given: Sequence[NewSuppression], *, by: Principal) -> list[AddedSuppression]:
        first: dict[tuple[bytes, str], NewSuppression] = {}
        keys = [(address_hash(one.email), one.reason.value) for one in given]
        for key, one in zip(keys, given, strict=True):
            first.setdefault(key, one)
        columns: tuple[list[Any], ...] = (
            [key for key, _ in first],
            [one.email for one in first.values()],
            [one.reason for one in first.values()],
            [one.source for one in first.values()],
            [email_key(one.email) for one in first.values()],
            [one.keep_address for one in first.values()],
        )
        async with self._database.transaction() as connection:
            await connection.execute(_SQL.let_no_erasure_begin)
            rows = await connection.fetch(_SQL.add, *columns)
            added = [row["id"] for row in rows if row["added"]]
            await audit.record(connection, by, AuditAction.SUPPRESSION_ADDED, added)
        found = {(row["address_hash"], row["reason"]): row for row in rows}
        results = []
        for key in keys:
            row = found[key]
            results.append(AddedSuppression(_suppression(row), new=row["added"] and key in first))
            first.pop(key, None)  # the same address again, in the same request, is there already
        return results

    async def remove(self, suppression_id: UUID, *, by: Principal) -> bool:
        async with self._database.transaction() as connection:
            removed = await connection.fetch(_SQL.remove, suppression_id)
            await audit.record(connection, by, AuditAction.SUPPRESSION_REMOVED, [row["id"] for row in removed])
        return bool(removed)


def _suppression(row: asyncpg.Record) -> Suppression:
    return Suppression(row["id"], row["email"], SuppressionReason(row["reason"]), row["source"], row["created_at"])
