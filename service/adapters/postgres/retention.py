"""Deletes expired rows: stored responses, ended nodes, and audit entries."""

from __future__ import annotations

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load

_SQL = load("retention.sql")

BATCH = 1000
"""Rows deleted by one statement, which takes some milliseconds."""


class PostgresRetention:
    """Implements `service.ports.Retention`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget_expired(self) -> int:
        responses = await self._database.fetch(_SQL.forget_responses, BATCH)
        nodes = await self._database.fetch(_SQL.forget_nodes, BATCH)
        entries = await self._database.value(_SQL.forget_audit, BATCH)
        return len(responses) + len(nodes) + int(entries)
