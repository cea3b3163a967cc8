"""Greetings that leave while something else happens, and the verdict of the books on both sides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from actors.rehearsal.records import read_tried, read_work
from actors.rehearsal.verdict import Verdict, judge
from loadtest import crowd
from loadtest.bench import Bench
from loadtest.stress.scenario import Check, none
from service.adapters.postgres.connection import Database

LOOK_EVERY = 0.2

LONG_BEFORE = timedelta(days=1)

BOOK_GRAIN = 1
"""Milliseconds to which the email service's books are exact."""

STUCK_FOR = 200.0
"""Seconds without an acceptance after which the rest counts as lost: what a queue has lost is missed after 90 s."""


class Greetings:
    """Greetings of people who have no day of their own, due when they are told to be."""

    def __init__(self, bench: Bench, dsn: str, people: int) -> None:
        """`people`: how many may be greeted in all; `sign_up` makes them."""
        self._bench = bench
        self._dsn = dsn
        self._people = people
        self._began = datetime.now(UTC)
        self.due = 0

    async def sign_up(self) -> None:
        """Make the people."""
        async with self._connected() as connection:
            await crowd.users(connection, self._people)
            await connection.execute("vacuum analyze")

    async def put(self, count: int, at: datetime) -> None:
        """Let so many more be due at that instant."""
        async with self._connected() as connection:
            await crowd.due(connection, count, at, since=self.due + 1)
        self.due += count

    async def put_again_and_again(self, count: int, *, every: float) -> None:
        """Let so many be due every so many seconds, until that is cancelled or nobody is left."""
        while self.due + count <= self._people:
            await self.put(count, datetime.now(UTC) + timedelta(seconds=1))
            await asyncio.sleep(every)

    async def gone(self) -> bool:
        """Wait until all that are due are accepted and on record; False when nothing moves any more."""
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
                await asyncio.sleep(LOOK_EVERY)
        return False

    async def verdict(self) -> Verdict:
        """What database and email service have on record, held against each other."""
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
        """Nobody lost, nobody twice, nobody early."""
        await self.gone()
        verdict = await self.verdict()
        return (
            Check("greetings accepted", f"{verdict.sent - verdict.unconfirmed}", f"{self.due}", not verdict.lost),
            none("lost", verdict.lost),
            none("twice, no attempt with an unknown outcome before", verdict.duplicates),
            none("early", verdict.early),
        )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self._dsn)
        try:
            yield connection
        finally:
            await connection.close()
