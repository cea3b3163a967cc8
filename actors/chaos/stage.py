"""Everything that a fault may touch, and everything that can be asked about what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from actors.chaos.fleet import Fleet
from actors.chaos.servers import Servers
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.email_stub import EmailStub
from service.embedded.clock import run_clock
from service.ports import Unavailable

LOOK_EVERY = 0.1
"""Seconds between two questions."""

_SQL = load("stage.sql", __package__)


class Stage:
    """Servers, nodes, the email service, and a connection to the database that no fault is aimed at."""

    def __init__(
        self,
        servers: Servers,
        fleet: Fleet,
        stub: EmailStub,
        database: Database,
        *,
        email_timeout: float,
        drain_within: float,
    ) -> None:
        self.servers = servers
        self.fleet = fleet
        self.stub = stub
        self.database = database
        self.email_timeout = email_timeout
        self.drain_within = drain_within
        self._ahead = timedelta()

    # --- the business clock ------------------------------------------------------------------------------------

    async def set_clock(self, at: datetime) -> None:
        """Let business time be `at` and go on from there at the usual speed. Raises Unavailable."""
        async with self.database.connection() as connection:
            await run_clock(connection, at=at)
        asked = time.time()
        row = await self.database.row(_SQL.clock)
        assert row is not None  # noqa: S101 - the statement returns one row
        # Where the database runs on another machine its clock may differ from ours by as much as the question took.
        self._ahead = row["now"] - datetime.fromtimestamp(asked, UTC)

    def business_time(self, milliseconds: int) -> datetime:
        """Business time at an instant of our own clock, in ms since the epoch; rather later than earlier."""
        return datetime.fromtimestamp(milliseconds / 1000, UTC) + self._ahead

    # --- what became of it -------------------------------------------------------------------------------------

    async def greeted_since(self, instant: float) -> bool:
        """Whether a greeting begun after `instant` (seconds since the epoch) is on record as accepted, or none is left.

        Raises Unavailable.
        """
        since = self.business_time(round(instant * 1000))
        return bool(await self.database.value(_SQL.greeted_since, since)) or await self.open() == 0

    async def nothing_is_left_to(self, node_ids: Collection[str]) -> bool:
        """Whether these nodes were ended by others, and none of their claims is left. Raises Unavailable."""
        return bool(await self.database.value(_SQL.nothing_is_left_to, list(node_ids)))

    async def lives(self, node_id: str) -> bool:
        """Whether a node of that name has entered and was not ended. Raises Unavailable."""
        return bool(await self.database.value(_SQL.lives, node_id))

    async def open(self) -> int:
        """How many messages have not come to an end. Raises Unavailable."""
        count: int = await self.database.value(_SQL.open)
        return count

    async def count(self) -> int:
        """How many messages there are. Raises Unavailable."""
        count: int = await self.database.value(_SQL.count)
        return count

    async def until(self, condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
        """Wait until the condition holds, and say whether it did in time. A database that is away answers no."""
        give_up = time.monotonic() + within
        while time.monotonic() < give_up:
            with suppress(Unavailable):
                if await condition():
                    return True
            await asyncio.sleep(LOOK_EVERY)
        return False
