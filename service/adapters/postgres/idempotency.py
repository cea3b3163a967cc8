"""The answers given under an Idempotency-Key, shared by all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.together import Together
from service.ports import KeptAnswer, Reserved

_SQL = load("idempotency.sql")

WORKED_ON_FOR = 60.0
"""Seconds after which a request that has not been answered has died with its node."""

MOST_AT_ONCE = 64
"""Keys reserved, or answers kept, by one statement for requests that came at the same time."""

FORGOTTEN_AT_ONCE = 1000
"""Expired answers deleted by one statement, which takes some milliseconds."""

ROUNDS = 2
"""Such statements of a kind under way at once."""

Found: TypeAlias = Reserved | KeptAnswer | None
Answer: TypeAlias = tuple[Reserved, int, dict[str, str], bytes, str | None]


class PostgresIdempotency:
    """Implements `service.ports.Idempotency`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reserving = Together(self._reserve, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)
        self._keeping = Together(self._keep, system="postgres", most=MOST_AT_ONCE, at_once=ROUNDS)

    async def reserve(self, key: bytes, fingerprint: bytes) -> Found:
        return await self._reserving((key, fingerprint))

    async def keep(
        self, reserved: Reserved, *, status: int, headers: dict[str, str], body: bytes, resource: str | None
    ) -> None:
        await self._keeping((reserved, status, headers, body, resource))

    async def release(self, reserved: Reserved) -> None:
        await self._database.fetch(_SQL.release, reserved.key, reserved.started_at)

    async def _reserve(self, asked: Sequence[tuple[bytes, bytes]]) -> list[Found]:
        # Of several requests with one key at the same time the first is given to the server.
        first: dict[bytes, bytes] = {}
        for key, fingerprint in asked:
            first.setdefault(key, fingerprint)
        rows = await self._database.fetch(_SQL.reserve, list(first), list(first.values()), WORKED_ON_FOR)
        found = {row["key"]: _found(row) for row in rows}
        outcomes = []
        for key, _ in asked:
            outcomes.append(outcome := found[key])
            if isinstance(outcome, Reserved):
                # Those who came with it find it being worked on.
                found[key] = KeptAnswer(first[key])
        return outcomes

    async def _keep(self, answers: Sequence[Answer]) -> list[None]:
        await self._database.fetch(
            _SQL.keep,
            [reserved.key for reserved, *_ in answers],
            [reserved.started_at for reserved, *_ in answers],
            [status for _, status, *_ in answers],
            [orjson.dumps(headers).decode() for _, _, headers, *_ in answers],
            [body for _, _, _, body, _ in answers],
            [resource for *_, resource in answers],
        )
        return [None] * len(answers)


class PostgresKeptAnswers:
    """Implements `service.ports.KeptAnswers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget_expired(self) -> int:
        return len(await self._database.fetch(_SQL.forget_expired, FORGOTTEN_AT_ONCE))


def _found(row: asyncpg.Record) -> Found:
    if row["started_at"] is not None:
        return Reserved(row["key"], row["started_at"])
    if row["fingerprint"] is None:
        return None
    if row["status"] is None:
        return KeptAnswer(row["fingerprint"])
    return KeptAnswer(row["fingerprint"], row["status"], orjson.loads(row["headers"]), row["body"])
