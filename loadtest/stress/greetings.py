"""Sends greetings during a scenario, and compares the email service's log with the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from actors.commands.rehearsal.records import read_tried, read_work
from actors.commands.rehearsal.verdict import Verdict, judge
from loadtest import crowd
from loadtest.bench import Bench
from loadtest.stress.scenario import Check, none
from service.adapters.postgres.connection import Database

LOG_INTERVAL = 0.2

LONG_BEFORE = timedelta(days=1)

BOOK_GRAIN = 1
"""Resolution of the email service's log in milliseconds."""

STUCK_FOR = 200.0
"""Seconds without an acceptance after which the rest counts as lost; recovery finds lost work after 90 s."""


class Greetings:
    """Greetings of users without dates, due at chosen instants."""

    def __init__(self, bench: Bench, dsn: str, people: int) -> None:
        """`people` is the total of users to greet; `sign_up` creates them."""
        self._bench = bench
        self._dsn = dsn
        self._people = people
        self._began = datetime.now(UTC)
        self.due = 0

    async def sign_up(self) -> None:
        """Create the users."""
        async with self._connected() as connection:
            await crowd.users(connection, self._people)
            await connection.execute("vacuum")

    async def put(self, count: int, at: datetime) -> None:
        """Make `count` more messages that are due at that instant."""
        async with self._connected() as connection:
            await crowd.due(connection, count, at, since=self.due + 1)
        self.due += count

    async def put_again_and_again(self, count: int, *, every: float) -> None:
        """Make `count` messages due every `every` seconds, until cancelled or until no user is left."""
        while self.due + count <= self._people:
            await self.put(count, datetime.now(UTC) + timedelta(seconds=1))
            await asyncio.sleep(every)

    async def gone(self) -> bool:
        """Wait until all due messages are accepted and recorded; return False if nothing moves any more."""
        last, moved_at = -1.0, time.monotonic()
        async with self._connected() as connection:
            while time.monotonic() - moved_at < STUCK_FOR:
                left = await connection.fetchval(
                    "select count(*) from messages where ended_at is null and send_at <= now()"
                )
                accepted = (await self._bench.stats())["keys"]
                if accepted >= self.due and not left:
                    return True
                if accepted - left != last:
                    last, moved_at = accepted - left, time.monotonic()
                await asyncio.sleep(LOG_INTERVAL)
        return False

    async def verdict(self) -> Verdict:
        """Return the comparison of the database with the email service's log."""
        database = Database(self._dsn, size=2)
        await database.open()
        try:
            work = await read_work(database, self._began - LONG_BEFORE, datetime.now(UTC))
            accepted = await self._bench.acceptances()
            tried = await read_tried(database, {UUID(key) for key, _ in accepted if key})
        finally:
            await database.close()
        return judge(
            work,
            accepted,
            since=self._began - LONG_BEFORE,
            due=self.due,
            unplanned=self.due - len(work),
            tried={str(id_) for id_ in tried},
            business_time=lambda at: datetime.fromtimestamp((at + BOOK_GRAIN) / 1000, UTC),
        )

    async def checks(self) -> tuple[Check, ...]:
        """Return the checks: no greeting lost, twice or early."""
        await self.gone()
        verdict = await self.verdict()
        return (
            Check("greetings accepted", f"{verdict.accepted}", f"{self.due}", verdict.accepted >= self.due),
            none("lost", verdict.lost),
            none("twice, without an earlier attempt of unknown outcome", verdict.duplicates),
            none("early", verdict.early),
            none("accepted and not on record", verdict.unrecorded),
        )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self._dsn)
        try:
            yield connection
        finally:
            await connection.close()
