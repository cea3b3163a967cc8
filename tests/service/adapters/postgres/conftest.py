"""The adapters of PostgreSQL on a fresh, migrated database, and rows to work on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from service.adapters.postgres.connection import Database
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.users import PostgresUsers
from service.domain.planning import DesiredMessage
from service.domain.users import Profile

LATE_LIMIT = timedelta(hours=48)


@dataclass
class Store:
    """Every adapter over one pool."""

    dsn: str
    database: Database
    messages: PostgresMessages
    nodes: PostgresNodes
    planning: PostgresPlanning
    users: PostgresUsers

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Fetch rows for the test's own statement."""
        return await self.database.fetch(query, *args)

    async def due(self, count: int, *, ago: timedelta = timedelta(minutes=1)) -> list[UUID]:
        """Make this many scheduled messages of as many users, due a second apart, the last of them `ago`.

        Oldest first.
        """
        rows = await self.fetch(
            """
            with made as (
                insert into users (first_name, last_name, email, email_key, timezone, created_at)
                select 'Ada', n::text, key, key, 'UTC', business_now() - interval '30 days'
                from generate_series(1, $1) n, lateral (select n || uuid_v7()::text as key) k
                returning id, last_name::integer as n
            )
            insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
            select id, 'birthday', extract(year from business_now()), 'UTC', at, at, 'test'
            from made, lateral (select business_now() - $2::interval - make_interval(secs => $1 - n) as at) t
            returning id, due_at
            """,
            count,
            ago,
        )
        return [row["id"] for row in sorted(rows, key=lambda row: row["due_at"])]

    async def queued(self, count: int, *, fence: int = 1, incarnation: int = 1) -> list[UUID]:
        """Make this many queued messages. Oldest first."""
        await self.due(count)
        due = await self.messages.claim_due(fence=fence, incarnation=incarnation, limit=count, late_limit=LATE_LIMIT)
        return list(due.queued)

    async def statuses(self) -> dict[UUID, str]:
        """Every message's state."""
        return {row["id"]: row["status"] for row in await self.fetch("select id, status from messages")}


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    pool = Database(database, size=20)
    await pool.open()
    yield Store(
        database,
        pool,
        PostgresMessages(pool),
        PostgresNodes(pool, tzdata="test"),
        PostgresPlanning(pool),
        PostgresUsers(pool, late_limit=LATE_LIMIT, tzdata="test"),
    )
    await pool.close()


_number = iter(range(1_000_000_000))


def profile(birthday: date, timezone: str = "UTC") -> Profile:
    """Return a user with a unique address, born on that day, in a leap year if the day is of this century."""
    born = birthday if birthday.year < 2000 else birthday.replace(year=1992)
    return Profile("Ada", "Smith", f"ada{next(_number)}@example.com", timezone, {"birthday": born})


def nine(day: date, hours_east: int = 0) -> list[DesiredMessage]:
    """The birthday of that date, at 09:00 in a zone this many hours east of Greenwich."""
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC) - timedelta(hours=hours_east)
    return [DesiredMessage("birthday", day.year, at)]
