"""The run-time limits, as rows that every node reads several times a second."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.limits import LimitChange, LimitName
from service.ports import AuditAction, Principal

_SQL = load("limits.sql")

READ_TIMEOUT = 2.0
"""Seconds for one reading. Without a recent one no call begins."""


class PostgresLimits:
    """Implements `service.ports.Limits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> list[LimitChange]:
        return _changes(await self._database.fetch(_SQL.limits, within=READ_TIMEOUT))

    async def change(self, values: Mapping[LimitName, str | None], *, by: Principal) -> list[LimitChange]:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_SQL.change, list(values), list(values.values()), by.author)
            for action, names in (
                (AuditAction.LIMIT_CHANGED, [row["name"] for row in rows if row["value"] is not None]),
                (AuditAction.LIMIT_REMOVED, [row["name"] for row in rows if row["value"] is None]),
            ):
                await audit.record(connection, by, action, names)
            return _changes(await connection.fetch(_SQL.limits))


def _changes(rows: list[asyncpg.Record]) -> list[LimitChange]:
    # A name that a later version has added is left to its nodes.
    known = frozenset(LimitName)
    return [LimitChange(**{**row, "name": LimitName(row["name"])}) for row in rows if row["name"] in known]
