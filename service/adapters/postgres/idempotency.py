"""The responses given under an Idempotency-Key, shared by all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from service.adapters.batching import Batcher
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import CreatedUser, Keep, KeptResponse, Reserved

_SQL = load("idempotency.sql")

RESERVATION_TIMEOUT = 60.0
"""Seconds after which a request without a response counts as dead, with its node."""

MAX_BATCH = 64
"""Keys reserved, or responses stored, by one statement for concurrent requests."""

CONCURRENT_BATCHES = 2
"""Statements of a kind under way at once."""

Found: TypeAlias = Reserved | KeptResponse | None


class PostgresIdempotency:
    """Implements `service.ports.Idempotency`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reserving = Batcher(self._reserve, system="postgres", most=MAX_BATCH, at_once=CONCURRENT_BATCHES)
        self._keeping = Batcher(self._keep, system="postgres", most=MAX_BATCH, at_once=CONCURRENT_BATCHES)

    async def reserve(self, key: bytes, fingerprint: bytes) -> Found:
        return await self._reserving((key, fingerprint))

    async def note_resource(self, reserved: Reserved, path: str) -> None:
        await self._database.fetch(_SQL.note_resource, reserved.key, reserved.started_at, path)

    async def keep(self, keep: Keep) -> None:
        await self._keeping(keep)

    async def release(self, reserved: Reserved) -> None:
        await self._database.fetch(_SQL.release, reserved.key, reserved.started_at)

    async def _reserve(self, asked: Sequence[tuple[bytes, bytes]]) -> list[Found]:
        # Of several requests with one key at the same time, the first goes to the server.
        first: dict[bytes, bytes] = {}
        for key, fingerprint in asked:
            first.setdefault(key, fingerprint)
        rows = await self._database.fetch(_SQL.reserve, list(first), list(first.values()), RESERVATION_TIMEOUT)
        found = {row["key"]: _found(row) for row in rows}
        outcomes = []
        for key, _ in asked:
            outcomes.append(outcome := found[key])
            if isinstance(outcome, Reserved):
                # The others find it in progress.
                found[key] = KeptResponse(first[key])
        return outcomes

    async def _keep(self, keeps: Sequence[Keep]) -> list[None]:
        await self._database.fetch(_SQL.keep, *keep_arguments(keeps))
        return [None] * len(keeps)


def _found(row: asyncpg.Record) -> Found:
    if row["started_at"] is not None:
        return Reserved(row["key"], row["started_at"])
    if row["fingerprint"] is None:
        return None
    if row["status"] is None:
        return KeptResponse(row["fingerprint"])
    created = None
    # A node of the previous version leaves this column unchanged when it takes over an expired key.
    if row["created"] is not None and row["status"] == 201 and not row["body"]:
        document = orjson.loads(row["created"])
        instants = (datetime.fromisoformat(document[name]) for name in ("created_at", "updated_at"))
        created = CreatedUser(UUID(document["id"]), document["version"], *instants)
    return KeptResponse(row["fingerprint"], row["status"], orjson.loads(row["headers"]), row["body"], created)


def keep_arguments(keeps: Sequence[Keep]) -> tuple[list[Any], ...]:
    """The arguments of the statement `keep`, which other adapters run in the transaction of their work."""
    return (
        [keep.reserved.key for keep in keeps],
        [keep.reserved.started_at for keep in keeps],
        [keep.status for keep in keeps],
        [orjson.dumps(dict(keep.headers)).decode() for keep in keeps],
        [keep.body for keep in keeps],
    )
