"""Messages: every claim, every outcome and every hop back, each a compare-and-set on the rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.messages import Status
from service.ports import Claim, Claimed, Due, Moved, Pulse, Recorded, Replaced, Result

_SQL = load("messages.sql")


class PostgresMessages:
    """Implements `service.ports.Messages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pulse(self) -> Pulse:
        row = await self._database.row(_SQL.pulse, within=5.0)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Pulse(row["now"], row["real_now"], row["rate"], row["next_due"])

    async def outstanding(self, limit: int) -> int:
        return int(await self._database.value(_SQL.outstanding, limit))

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        rows = await self._database.fetch(_SQL.claim_due, fence, incarnation, limit, late_limit)
        if not rows and (highest := await self._database.value(_SQL.fence, "ticker")) != fence:
            raise Replaced(highest)
        return Due(
            queued=tuple(row["id"] for row in rows if row["status"] == Status.QUEUED),
            expired=tuple(_moved(row) for row in rows if row["status"] == Status.EXPIRED),
        )

    async def take_back(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        return len(await self._database.fetch(_SQL.take_back_claims_of, ids, incarnation))

    async def take_back_claim(self, *, incarnation: int) -> int:
        return len(await self._database.fetch(_SQL.take_back_claim, incarnation))

    async def claim_for_sending(self, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        rows = await self._database.fetch(_SQL.claim_for_sending, ids, incarnation)
        return [
            Claimed(
                Claim(row["id"], row["local_year"], row["attempt"], incarnation),
                attempts_spent=row["attempt"] - row["attempt_base"],
                send_at=row["send_at"],
                occasion=row["occasion"],
                first_name=row["first_name"],
                last_name=row["last_name"],
                email=row["email"],
                template=row["template"],
            )
            for row in rows
        ]

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        rows = await self._database.fetch(
            _SQL.record,
            [result.claim.incarnation for result in results],
            [result.claim.id for result in results],
            [result.claim.local_year for result in results],
            [result.claim.attempt for result in results],
            [result.status for result in results],
            [result.delay.total_seconds() for result in results],
            [result.answer and result.answer.outcome for result in results],
            [at - result.began for result in results],
            [result.answer.duration if result.answer else 0.0 for result in results],
            [result.answer and result.answer.status_code for result in results],
            [result.answer.error if result.answer else "not attempted" for result in results],
        )
        return [Recorded(row["id"], Status(row["status"]), row["occasion"], row["lateness"]) for row in rows]

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        return {(row["id"], row["attempt"]) for row in await self._database.fetch(_SQL.sending_for, seconds)}

    async def free_claims(self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, attempts: int) -> list[Moved]:
        ids, numbers = [message for message, _ in stuck], [number for _, number in stuck]
        return [_moved(row) for row in await self._database.fetch(_SQL.free_claims, hold, attempts, ids, numbers)]

    async def take_back_lost(self, *, queued_for: timedelta) -> int:
        return len(await self._database.fetch(_SQL.take_back_queued, queued_for.total_seconds()))

    async def unburied(self) -> list[UUID]:
        return [row["id"] for row in await self._database.fetch(_SQL.unburied)]

    async def buried(self, ids: Sequence[UUID]) -> None:
        await self._database.fetch(_SQL.buried, ids)

    async def redrive(self, ids: Sequence[UUID]) -> list[UUID]:
        return [row["id"] for row in await self._database.fetch(_SQL.redrive, ids)]

    async def open_by_status(self) -> dict[Status, int]:
        return {Status(row["status"]): row["count"] for row in await self._database.fetch(_SQL.open_by_status)}

    async def oldest_due_age(self) -> float:
        return float(await self._database.value(_SQL.oldest_due))


def _moved(row: asyncpg.Record) -> Moved:
    return Moved(row["id"], Status(row["status"]), row["occasion"], row["attempt"])
