"""The answers given under an Idempotency-Key, shared by all nodes."""

from __future__ import annotations

from datetime import datetime

import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import KeptAnswer, Reserved

_SQL = load("idempotency.sql")

WORKED_ON_FOR = 60.0
"""Seconds after which a request that has not been answered has died with its node."""


class PostgresIdempotency:
    """Implements `service.ports.Idempotency`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, key: bytes, fingerprint: bytes) -> Reserved | KeptAnswer | None:
        started_at: datetime | None = await self._database.value(_SQL.reserve, key, fingerprint, WORKED_ON_FOR)
        if started_at is not None:
            return Reserved(key, started_at)
        row = await self._database.row(_SQL.kept, key)
        if row is None or row["status"] is None:
            return None if row is None or row["fingerprint"] == fingerprint else KeptAnswer(row["fingerprint"])
        return KeptAnswer(row["fingerprint"], row["status"], orjson.loads(row["headers"]), row["body"])

    async def keep(
        self, reserved: Reserved, *, status: int, headers: dict[str, str], body: bytes, resource: str | None
    ) -> None:
        await self._database.fetch(
            _SQL.keep, reserved.key, reserved.started_at, status, orjson.dumps(headers).decode(), body, resource
        )

    async def release(self, reserved: Reserved) -> None:
        await self._database.fetch(_SQL.release, reserved.key, reserved.started_at)
