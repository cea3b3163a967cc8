"""The audit log. Adapters that make a recorded change call `record` in the transaction of the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.roles import Role
from service.ports import AuditAction, AuditFilter, AuditRecord, Principal

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("audit.sql")


async def record(connection: Connection, by: Principal, action: AuditAction, subjects: Sequence[object]) -> None:
    """Add an entry for each subject, in the transaction of this connection."""
    if subjects:
        query, *arguments = entry(by, action, subjects)
        await connection.execute(str(query), *arguments)


def entry(by: Principal, action: AuditAction, subjects: Sequence[object]) -> tuple[object, ...]:
    """The statement of `record`, followed by its arguments."""
    return (
        _SQL.record,
        by.name,
        by.role,
        by.os_user,
        by.request_id,
        action,
        action.subject_kind,
        [str(one) for one in subjects],
    )


class PostgresAuditLog:
    """Implements `service.ports.AuditLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, by: Principal, action: AuditAction, subjects: Sequence[str]) -> None:
        query, *arguments = entry(by, action, subjects)
        await self._database.fetch(str(query), *arguments)

    async def page(self, wanted: AuditFilter, *, before: UUID | None, limit: int) -> list[AuditRecord]:
        rows = await self._database.fetch(
            _SQL.page, before, wanted.action, wanted.key, wanted.since, wanted.until, limit
        )
        return [_record(row) for row in rows]


def _record(row: asyncpg.Record) -> AuditRecord:
    by = Principal(row["key_name"], Role(row["role"]), row["request_id"], row["os_user"])
    return AuditRecord(row["id"], row["at"], by, row["action"], row["subject_kind"], row["subject_id"])
