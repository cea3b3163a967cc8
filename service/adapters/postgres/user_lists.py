"""Lists of users: filtered, searched, and in the order of their changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.postgres.users import user_of
from service.domain.users import User, email_key
from service.ports import ChangePosition, Changes, DeletedUser, UserFilter, UsersFound

_SQL = load("user_lists.sql")

MAX_LOOKED = 50_000
"""Users that one call reads, which takes about a tenth of a second.

Without an extension no index finds the middle of a name, and a trigram index would make an import several times slower.
"""

_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)


class PostgresUserLists:
    """Implements `service.ports.UserLists`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: UserFilter, *, after: UUID | None, limit: int) -> UsersFound:
        rows = await self._database.fetch(
            _SQL.filtered,
            after,
            None if wanted.email is None else email_key(wanted.email),
            wanted.external_id,
            wanted.timezone,
            wanted.birthday,
            wanted.anniversary,
            limit + 1,
        )
        users = [user_of(row) for row in rows[:limit]]
        return UsersFound(users, users[-1].id if len(rows) > limit else None)

    async def search(self, text: str, *, after: UUID | None, limit: int) -> UsersFound:
        key = email_key(text)
        *found, last = await self._database.fetch(_SQL.search, after, text, key, MAX_LOOKED, limit + 1)
        ids = [row["id"] for row in found[:limit]]
        users = [user_of(row) for row in await self._rows(ids) if row["deleted_at"] is None]
        if len(found) > limit:
            return UsersFound(users, ids[-1])
        return UsersFound(users, last["id"] if last["looked"] == MAX_LOOKED else None)

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
