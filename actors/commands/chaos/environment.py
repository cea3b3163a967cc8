"""The environment of a rehearsal: servers, nodes, the email service, and questions about the state of the messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

from actors.commands.chaos.fleet import Fleet
from actors.commands.chaos.servers import Servers
from actors.commands.sandbox.email_stub import EmailStub
from actors.commands.sandbox.servers.clock import run_clock
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.ports import Unavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

POLL_INTERVAL = 0.1
"""Seconds between two checks of a condition."""

DRAIN_RESERVE = 15.0
"""Seconds beyond HEYDAY_DRAIN_WITHIN in which a node must have ended."""

_SQL = load("environment.sql", __package__)


class Environment:
    """Everything that a fault may touch, and a connection to the database that no fault affects."""

    def __init__(self, servers: Servers, fleet: Fleet, stub: EmailStub, database: Database, settings: Settings) -> None:
        self.servers = servers
        self.fleet = fleet
        self.stub = stub
        self.database = database
        self.settings = settings
        self.failures_allowed = 0
        """Messages that may have become `failed`, because the email service refused every message for a while."""
        self._ahead = timedelta()
        self._numbers = count(1)

    @property
    def drain_timeout(self) -> float:
        """Seconds in which a node must drain."""
        return self.settings.drain_within.total_seconds() + DRAIN_RESERVE

    def next_number(self) -> int:
        """A number that was not returned before, for unique addresses."""
        return next(self._numbers)

    # --- the business clock ------------------------------------------------------------------------------------

    async def set_clock(self, at: datetime) -> None:
        """Set business time to `at`. It goes on at normal speed. Raises Unavailable."""
        async with self.database.connection() as connection:
            await run_clock(connection, at=at)
        asked = time.time()
        row = await self.database.row(_SQL.clock)
        assert row is not None  # noqa: S101 - the statement returns one row
        # If the database is on another machine, its clock may differ from ours by the duration of the question.
        self._ahead = row["now"] - datetime.fromtimestamp(asked, UTC)

    def business_time(self, milliseconds: int) -> datetime:
        """Business time at an instant of our own clock, in ms since the epoch. It is never too early."""
        return datetime.fromtimestamp(milliseconds / 1000, UTC) + self._ahead

    def time(self) -> float:
        """Seconds since the epoch, by our own clock."""
        return time.time()

    # --- the state of the messages -----------------------------------------------------------------------------

    async def greeted_since(self, instant: float, *, besides: int = 0) -> bool:
        """True if a greeting begun after `instant` is recorded as accepted, or if all but `besides` have ended.

        `instant` is in seconds since the epoch. Raises Unavailable.
        """
        since = self.business_time(round(instant * 1000))
        return bool(await self.database.value(_SQL.greeted_since, since)) or await self.open() <= besides

    async def sent_by(self, node_id: str, *, since: float) -> bool:
        """True if this node has begun an attempt after `since`, or if no message is left. Raises Unavailable."""
        at = self.business_time(round(since * 1000))
        return bool(await self.database.value(_SQL.attempted_by, node_id, at)) or await self.open() == 0

    async def nothing_is_claimed_by(self, node_ids: Collection[str]) -> bool:
        """True if the others have ended these nodes, and none of their claims is left. Raises Unavailable."""
        return bool(await self.database.value(_SQL.nothing_is_claimed_by, list(node_ids)))

    async def lives(self, node_id: str) -> bool:
        """True if a node of that name has entered and has not ended. Raises Unavailable."""
        return bool(await self.database.value(_SQL.lives, node_id))

    async def open(self) -> int:
        """The number of due messages that have not ended. Raises Unavailable."""
        number: int = await self.database.value(_SQL.open)
        return number

    async def waiting(self) -> int:
        """The number of due messages that no node has claimed. Raises Unavailable."""
        return len(await self.database.fetch(_SQL.open_ids))

    async def ended(self, connection: Connection | None = None) -> int:
        """The number of messages that have ended, as this connection sees it, or a new one. Raises Unavailable."""
        number: int = await (connection.fetchval if connection else self.database.value)(_SQL.ended)
        return number

    async def count(self) -> int:
        """The number of messages. Raises Unavailable."""
        number: int = await self.database.value(_SQL.count)
        return number

    async def has_ended(self, message: UUID) -> bool:
        """True if the message has ended. Raises Unavailable."""
        return bool(await self.database.value(_SQL.has_ended, message))

    async def planned_until(self) -> datetime:
        """The instant up to which messages are planned. Raises Unavailable."""
        until: datetime = await self.database.value(_SQL.planned_until)
        return until

    async def all_planned(self, users: Collection[UUID]) -> bool:
        """True if each of these users has a message that is not cancelled. Raises Unavailable."""
        return int(await self.database.value(_SQL.planned_users, list(users))) == len(users)

    async def calls_between(self, begin: datetime, end: datetime) -> int:
        """The number of calls that began between two instants of business time. Raises Unavailable."""
        number: int = await self.database.value(_SQL.calls_between, begin, end)
        return number

    async def none_queued_before(self, instant: float) -> bool:
        """True if no message is queued since before `instant`, in seconds since the epoch. Raises Unavailable."""
        return not await self.database.value(_SQL.queued_before, self.business_time(round(instant * 1000)))

    # --- a damaged row -----------------------------------------------------------------------------------------

    async def damage_open_message(self, place: float) -> UUID | None:
        """Let PostgreSQL refuse every change of one open message, and return its id. None if no message is open.

        `place`, from 0 to 1, selects the message. Raises Unavailable.
        """
        ids = [row["id"] for row in await self.database.fetch(_SQL.open_ids)]
        if not ids:
            return None
        chosen: UUID = ids[int(place * len(ids))]
        if not await self.database.value(_SQL.can_damage):
            async with self.database.transaction() as connection:
                for statement in (_SQL.damage_table, _SQL.damage_counter, _SQL.damage_function, _SQL.damage_trigger):
                    await connection.execute(statement)
        await self.database.fetch(_SQL.damage, chosen)
        return chosen

    async def refused_changes(self) -> int:
        """The number of changes of the latest damaged message that PostgreSQL has refused. Raises Unavailable."""
        number: int = await self.database.value(_SQL.refused)
        return number

    async def repair_rows(self) -> None:
        """Let PostgreSQL change every message again. Raises Unavailable."""
        await self.database.fetch(_SQL.repair)

    async def until(self, condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
        """Wait for the condition. False if it does not hold in time. An unavailable database counts as not yet."""
        give_up = time.monotonic() + within
        while time.monotonic() < give_up:
            with suppress(Unavailable):
                if await condition():
                    return True
            await asyncio.sleep(POLL_INTERVAL)
        return False
