"""Lists of users: in the order of their creation, and in that of their changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.postgres.users import user_of
from service.domain.users import User, email_key
from service.ports import ChangePosition, Changes, CreationPosition, DeletedUser, UserFilter, UsersFound

_SQL = load("user_lists.sql")

MAX_LOOKED = 50_000
"""Users that one call reads, which takes about a tenth of a second.

Without an extension no index finds the middle of a name, and a trigram index would make an import several times slower.
"""

SETTLING_TIMEOUT = 1.0
"""Seconds that a page waits for the commit of creations that come before its end."""

SETTLING_POLL_INTERVAL = 0.02

_Page: TypeAlias = tuple[list[asyncpg.Record], asyncpg.Record | None]
"""The rows of a page, and the row after which the next one begins."""

_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)


class PostgresUserLists:
    """Implements `service.ports.UserLists`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settled = -1
        """Every change up to this number is committed, or will never be."""

    async def page(self, wanted: UserFilter, *, after: CreationPosition | None, limit: int) -> UsersFound:
        number, user_id = _place(after)

        async def read() -> _Page:
            rows = await self._database.fetch(
                _SQL.filtered,
                number,
                None if wanted.email is None else email_key(wanted.email),
                wanted.external_id,
                wanted.timezone,
                wanted.birthday,
                wanted.anniversary,
                limit + 1,
                user_id,
            )
            return rows[:limit], rows[limit - 1] if len(rows) > limit else None

        rows, end = await self._in_order(read)
        return UsersFound([user_of(row) for row in rows], _position(end))

    async def search(self, text: str, *, after: CreationPosition | None, limit: int) -> UsersFound:
        number, user_id = _place(after)

        async def read() -> _Page:
            rows = await self._database.fetch(
                _SQL.search, number, text, email_key(text), MAX_LOOKED, limit + 1, user_id
            )
            found = rows[:-1]
            if len(found) > limit:
                return found[:limit], found[limit - 1]
            return found, rows[-1] if rows and rows[-1]["looked"] == MAX_LOOKED else None

        found, end = await self._in_order(read)
        users = [user_of(row) for row in await self._rows([row["id"] for row in found]) if row["deleted_at"] is None]
        return UsersFound(users, _position(end))

    async def _in_order(self, read: Callable[[], Awaitable[_Page]]) -> _Page:
        """Read a page in the order of creation. If another one follows, no creation before its end is under way.

        Pages of users who have been there for long need no statement beside the reading one.
        """
        waits_until = time.monotonic() + SETTLING_TIMEOUT
        rows, end = await read()
        while end is not None and end["created_number"] > self._settled and time.monotonic() < waits_until:
            self._settled = max(self._settled, await self._database.value(_SQL.settled))
            if end["created_number"] > self._settled:
                await asyncio.sleep(SETTLING_POLL_INTERVAL)
            else:
                # This statement begins after everything that is settled is committed, so it sees all of it.
                rows, end = await read()
        return rows, end

    async def of_ids(self, ids: Collection[UUID]) -> dict[UUID, User]:
        return {row["id"]: user_of(row) for row in await self._rows(list(ids)) if row["email"]}

    async def changes(self, since: datetime, *, after: ChangePosition | None, limit: int) -> Changes:
        # The second statement begins after everything that the first one calls settled is committed, so it sees all of
        # it.
        settled: int = await self._database.value(_SQL.settled)
        if after is None:
            first = await self._database.value(_SQL.first_change_since, since)
            # A change that is not settled yet can have a lower number than the first that is visible.
            after = ChangePosition(settled if first is None else min(first - 1, settled), _LAST)
        rows = await self._database.fetch(
            _SQL.changed, after.number, after.user_id, settled, since, MAX_LOOKED, limit + 1
        )
        if not rows:
            return Changes((), (), after, more=False)
        *found, last = rows
        shown = found[:limit]
        end = shown[-1] if len(found) > limit else last
        users = await self._rows([row["id"] for row in shown])
        return Changes(
            [user_of(row) for row in users if row["deleted_at"] is None],
            [
                DeletedUser(row["id"], row["external_id"], row["deleted_at"])
                for row in users
                if row["deleted_at"] is not None
            ],
            ChangePosition(end["change_number"], end["id"]),
            more=len(found) > limit or last["looked"] == MAX_LOOKED,
        )

    async def _rows(self, ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """The users of these ids, in their order."""
        rows = {row["id"]: row for row in await self._database.fetch(_SQL.users, ids)} if ids else {}
        return [rows[one] for one in ids if one in rows]


def _place(after: CreationPosition | None) -> tuple[int, UUID]:
    """The position, or that before everyone."""
    return (-1, _FIRST) if after is None else (after.number, after.user_id)


def _position(row: asyncpg.Record | None) -> CreationPosition | None:
    return None if row is None else CreationPosition(row["created_number"], row["id"])
