"""Sets aside messages whose rows PostgreSQL cannot change, so that one row stops no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database, server_sentence
from service.adapters.postgres.queries import load
from service.ports import SetAside

_SQL = load("set_aside.sql")

Item = TypeVar("Item")
Row = TypeVar("Row")

ROW_FAULTS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.TriggeredDataChangeViolationError,
    asyncpg.WithCheckOptionViolationError,
    asyncpg.PLPGSQLError,  # a trigger that raises
    asyncpg.ExternalRoutineError,
    asyncpg.InternalServerError,  # a damaged page or index
)
"""Errors that one row can cause. A syntax error or a missing privilege is the fault of the statement."""

SHARED_ROWS = frozenset({"fencing_tokens", "taken_back"})
"""Other tables that the statements change. An error there is not about a message."""

FIRST_LOOK = 60.0
"""Seconds after the first failure until the row is tried again; doubled after each failure."""

LAST_LOOK = 3600.0
"""Seconds between two tries at most; set_aside.sql and messages.sql have the same hour."""

FORGET_AFTER = 2 * LAST_LOOK
"""Seconds without another failure after which a row counts as repaired."""

REASON_LENGTH = 200
"""Characters of the server's sentence that are kept."""


class SetAsideMessages:
    """Runs statements for many messages in halves, and keeps the table of those that failed alone."""

    def __init__(self, database: Database, on_set_aside: Callable[[SetAside], None] = lambda _row: None) -> None:
        self._database = database
        self._on_set_aside = on_set_aside

    async def run(
        self, action: str, ids: Sequence[UUID], run: Callable[[Sequence[UUID]], Awaitable[Sequence[Row]]]
    ) -> list[Row]:
        """Return the rows of `run(ids)`.

        If it fails, run halves. A message that fails alone is set aside for `action`.
        """
        return await run_in_halves(ids, run, partial(self.add, action))

    async def run_or_find(
        self,
        action: str,
        run: Callable[[Sequence[UUID] | None], Awaitable[Sequence[Row]]],
        find: Callable[[], Awaitable[Sequence[UUID]]],
    ) -> list[Row]:
        """Return the rows of `run(None)`, which selects its messages.

        If it fails, `run` the ids that `find` returns.
        """
        try:
            return list(await run(None))
        except ROW_FAULTS as error:
            if _is_of_shared_row(error):
                raise
            return await self.run(action, await find(), run)

    async def add(self, action: str, message: UUID, error: Exception) -> None:
        """Leave this message out until its next look. Raises Unavailable."""
        reason = server_sentence(error)[:REASON_LENGTH]
        row = await self._database.row(_SQL.add, message, action, reason, FIRST_LOOK, LAST_LOOK)
        assert row is not None  # noqa: S101 - the statement returns its row
        self._on_set_aside(SetAside(*row))

    async def newest(self, limit: int) -> list[SetAside]:
        """Messages that are set aside, newest first. Raises Unavailable."""
        return [SetAside(*row) for row in await self._database.fetch(_SQL.newest, limit)]

    async def forget_repaired(self) -> int:
        """Delete the rows of messages at which no statement has failed for long. Raises Unavailable."""
        return len(await self._database.fetch(_SQL.forget_repaired, FORGET_AFTER))


async def run_in_halves(
    items: Sequence[Item],
    run: Callable[[Sequence[Item]], Awaitable[Sequence[Row]]],
    on_failed: Callable[[Item, Exception], Awaitable[None]],
) -> list[Row]:
    """Return the rows of `run(items)`. If one item makes it fail, run each half, down to that item.

    `on_failed` takes the item at fault and its error. A run is all or nothing. Raises what else `run` raises.
    """
    if not items:
        return []
    try:
        return list(await run(items))
    except ROW_FAULTS as error:
        if _is_of_shared_row(error):
            raise
        if len(items) == 1:
            await on_failed(items[0], error)
            return []
    middle = len(items) // 2
    first = await run_in_halves(items[:middle], run, on_failed)
    return first + await run_in_halves(items[middle:], run, on_failed)


def _is_of_shared_row(error: Exception) -> bool:
    return getattr(error, "table_name", None) in SHARED_ROWS
