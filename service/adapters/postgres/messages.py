"""Messages: every claim, outcome and requeue, each a compare-and-set on the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from time import perf_counter
from uuid import UUID

import asyncpg

from service.adapters.postgres import audit
from service.adapters.postgres.connection import QUERY_TIMEOUT, Database
from service.adapters.postgres.idempotency import keep_arguments
from service.adapters.postgres.queries import load
from service.adapters.postgres.set_aside import ROW_FAULTS, SetAsideMessages, run_in_halves
from service.domain.messages import EmailServiceName, Status
from service.domain.retry import FIRST, History
from service.ports import (
    AuditAction,
    Claim,
    Claimed,
    Claims,
    ClockReading,
    Due,
    Keep,
    Moved,
    Outstanding,
    Principal,
    Recorded,
    ReservationLost,
    Result,
    SetAside,
    StaleFencingToken,
    Unavailable,
    Wave,
)

_SQL = load("messages.sql")
_IDEMPOTENCY = load("idempotency.sql")

COUNT_LIMIT = 100_000
"""Rows of a partial index that gauges count at most, more than are ever on their way."""

WAITING_LIMIT = 10_000
"""The same for messages that wait for their instant: they may be a million for days, and are counted all the time."""


class PostgresMessages:
    """Implements `service.ports.Messages`. `on_set_aside` takes each message that is set aside, each time.

    `only_to` has the addresses, as `email_key` writes them, and `@domains` that may be written to; None: all.
    """

    def __init__(
        self,
        database: Database,
        on_set_aside: Callable[[SetAside], None] = lambda _message: None,
        *,
        only_to: Collection[str] | None = None,
    ) -> None:
        self._database = database
        self._only_to = None if only_to is None else list(only_to)
        self._occasion_held = False
        """True when an occasion was held at the last reading. It decides how due messages are found, not which."""
        self._aside = SetAsideMessages(database, on_set_aside)

    async def read_clock(self, *, next_due: bool = False) -> ClockReading:
        row = await self._database.row(_SQL.read_clock, next_due, within=5.0)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        self._occasion_held = bool(row["held"])
        return ClockReading(row["now"], row["real_now"], row["rate"], row["next_due"])

    async def outstanding(self, limit: int) -> Outstanding:
        row = await self._database.row(_SQL.outstanding, limit)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Outstanding(row["queued"], row["taken_back"] or 0)

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        async def claim(ids: Sequence[UUID] | None) -> list[asyncpg.Record]:
            query = _SQL.claim_due_around_holds if self._occasion_held else _SQL.claim_due
            return await self._database.fetch(query, fence, incarnation, limit, late_limit, ids)

        rows = await self._aside.run_or_find("claim_due", claim, lambda: self._ids(_SQL.due_ids, limit))
        if not rows:
            highest = await self._database.value(_SQL.fence, "ticker")
            if highest is None:
                raise Unavailable("postgres", "the row of the ticker in the table fencing_tokens is missing")
            if highest > fence:
                raise StaleFencingToken(highest)
        return Due(
            queued=tuple(row["id"] for row in rows if row["status"] == Status.QUEUED),
            too_late=tuple(_moved(row) for row in rows if row["status"] != Status.QUEUED),
        )

    async def requeue(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        return len(
            await self._aside.run(
                "requeue", ids, lambda some: self._database.fetch(_SQL.requeue_claims, some, incarnation)
            )
        )

    async def requeue_claim(self, *, incarnation: int) -> int:
        return len(
            await self._aside.run_or_find(
                "requeue_claim",
                lambda ids: self._database.fetch(_SQL.requeue_claim, incarnation, ids),
                lambda: self._ids(_SQL.latest_claim, incarnation),
            )
        )

    async def claim_for_sending(
        self,
        ids: Sequence[UUID],
        *,
        incarnation: int,
        token: int | None = None,
        late_limit: timedelta | None = None,
        fallback: Collection[UUID] = (),
    ) -> Claims:
        to_fallback = list(fallback)
        rows = await self._aside.run(
            "claim_for_sending",
            ids,
            lambda some: self._database.fetch(
                _SQL.claim_for_sending, some, incarnation, token, late_limit, self._only_to, to_fallback
            ),
        )
        claimed = (
            Claimed(
                Claim(
                    row["id"], row["local_year"], row["attempt"], incarnation, EmailServiceName(row["service"]), token
                ),
                history=_history(row),
                send_at=row["send_at"],
                occasion=row["occasion"],
                first_name=row["first_name"],
                last_name=row["last_name"] or None,
                email=row["email"],
                template=row["template"],
                subject=row["subject"],
                years=row["years"],
                pinned=row["pinned"],
            )
            for row in rows
            if row["verdict"] == "sending"
        )
        return Claims(claimed, left_out=Counter(row["verdict"] for row in rows if row["verdict"] != "sending"))

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        called = perf_counter()

        async def fetch(query: str, some: Sequence[Result]) -> list[asyncpg.Record]:
            with self._database.timing(query):
                async with self._database.connection() as connection:
                    # The server subtracts the age of an attempt from its own clock when the statement arrives. The wait
                    # for the connection, and for earlier halves of the batch, is part of that age.
                    now = at + perf_counter() - called
                    rows: list[asyncpg.Record] = await connection.fetch(
                        query, *_columns(some, now), timeout=QUERY_TIMEOUT
                    )
                    return rows

        async def set_aside(result: Result, error: Exception) -> None:
            with suppress(*ROW_FAULTS):  # the attempts of this message may be what cannot be written
                await fetch(_SQL.record_attempts, [result])
            await self._aside.add("record", result.claim.id, error)

        rows = await run_in_halves(results, partial(fetch, _SQL.record), set_aside)
        return [Recorded(row["id"], Status(row["status"]), row["occasion"], row["lateness"]) for row in rows]

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        return {(row["id"], row["attempt"]) for row in await self._database.fetch(_SQL.sending_for, seconds)}

    async def release_claims(
        self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, hold_fallback: bool | None = None
    ) -> list[Moved]:
        holds = hold if hold_fallback is None else hold_fallback
        # One message may be named with several attempts.
        ids, numbers = [message for message, _ in stuck], [number for _, number in stuck]

        async def release(only: Sequence[UUID] | None) -> list[asyncpg.Record]:
            return await self._database.fetch(_SQL.release_claims, hold, ids, numbers, only, holds)

        async def find() -> list[UUID]:
            return [*await self._ids(_SQL.claims_of_ended_nodes), *dict.fromkeys(ids)]

        rows = await self._aside.run_or_find("release_claims", release, find)
        return [_moved(row, row["service"]) for row in rows]

    async def requeue_lost(self, *, queued_for: timedelta) -> int:
        seconds = queued_for.total_seconds()
        return len(
            await self._aside.run_or_find(
                "requeue_lost",
                lambda ids: self._database.fetch(_SQL.requeue_lost, seconds, ids),
                lambda: self._ids(_SQL.lost_in_queue, seconds),
            )
        )

    async def awaiting_dead_letter(self) -> list[UUID]:
        return await self._ids(_SQL.awaiting_dead_letter)

    async def mark_dead_lettered(self, ids: Sequence[UUID]) -> None:
        await self._aside.run(
            "mark_dead_lettered", ids, lambda some: self._database.fetch(_SQL.mark_dead_lettered, some)
        )

    async def redrive(self, ids: Sequence[UUID], *, by: Principal, keep: Keep | None = None) -> list[UUID]:
        async def redrive(some: Sequence[UUID]) -> list[asyncpg.Record]:
            async with self._database.transaction() as connection:
                moved: list[asyncpg.Record] = await connection.fetch(_SQL.redrive, some)
                await audit.record(connection, by, AuditAction.MESSAGES_REDRIVEN, [row["id"] for row in moved])
                if keep and moved and not await connection.fetch(_IDEMPOTENCY.keep, *keep_arguments([keep])):
                    raise ReservationLost
            return moved

        rows = await self._aside.run("redrive", ids, redrive)
        return [row["id"] for row in rows]

    async def set_aside(self, limit: int) -> list[SetAside]:
        return await self._aside.newest(limit)

    async def forget_repaired(self) -> int:
        return await self._aside.forget_repaired()

    async def open_by_status(self) -> dict[Status, int]:
        rows = await self._database.fetch(_SQL.open_by_status, WAITING_LIMIT, COUNT_LIMIT)
        return {Status(row["status"]): row["count"] for row in rows}

    async def oldest_due_age(self) -> float:
        return float(await self._database.value(_SQL.oldest_due))

    async def next_wave(self) -> Wave | None:
        row = await self._database.row(_SQL.next_wave, WAITING_LIMIT)
        return None if row is None else Wave(row["seconds"], row["messages"])

    async def oldest_snapshot_age(self) -> float:
        return float(await self._database.value(_SQL.oldest_snapshot))

    async def _ids(self, query: str, *args: object) -> list[UUID]:
        return [row["id"] for row in await self._database.fetch(query, *args)]


def _columns(results: Sequence[Result], at: float) -> tuple[list[object], ...]:
    """The arguments of `record`: a list for each column. `at` is now, in seconds of the clock of `Result.began`."""
    return (
        [result.claim.incarnation for result in results],
        [result.claim.id for result in results],
        [result.claim.local_year for result in results],
        [result.claim.attempt for result in results],
        [result.status for result in results],
        [result.delay.total_seconds() if result.answer or result.delay else None for result in results],
        [result.answer and result.answer.outcome for result in results],
        [at - result.began for result in results],
        [result.answer.duration if result.answer else 0.0 for result in results],
        [result.answer and result.answer.status_code for result in results],
        [result.answer.error if result.answer else result.reason for result in results],
        [result.answer is not None and result.answer.spent for result in results],
        [result.answer and result.answer.provider_id for result in results],
        [result.claim.service for result in results],
        [result.answer is not None and result.answer.in_doubt for result in results],
        [result.claim.token for result in results],
    )


def _moved(row: asyncpg.Record, service: str | None = None) -> Moved:
    name = None if service is None else EmailServiceName(service)
    return Moved(row["id"], Status(row["status"]), row["occasion"], row["attempt"], name)


def _history(row: asyncpg.Record) -> History:
    made = row["attempt"] - row["attempts_before_redrive"] - 1
    if made == 0:
        return FIRST
    unknown_for = row["unknown_for"]
    return History(
        made, row["attempts_spent"], None if unknown_for is None else timedelta(seconds=unknown_for), row["last_ago"]
    )
