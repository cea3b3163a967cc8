"""The events of the observation: a wave with errors, a killed node, half a minute without the email service."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg

from loadtest import crowd

ERROR_RATE = 0.1
"""Share of the calls that the email service answers with an error."""

LOST_RATE = 0.01
"""Share of the calls that it accepts before it cuts the connection."""

LATENCY = "0.02-0.08"
"""Seconds that the email service takes for a call."""

RATE = 100
"""Greetings per second over all nodes; low, so that the wave takes some time."""

GREETINGS = 5_000

DUE_IN = 8.0
"""Seconds until the wave is due; every series must exist before."""

KILL_AFTER = 8.0
"""Seconds from the due instant until a node is killed."""

OUTAGE_AFTER, OUTAGE = 20.0, 30.0
"""Seconds from the due instant until the email service goes away, and the length of its outage."""

GIVE_UP_AFTER = 170.0
"""Seconds from the due instant within which every user must be greeted."""

WATCH_ON = 6.0
"""Seconds to continue at the end; nodes read the figures of the stores every 5 s."""

FIRES = {
    "LatenessBudgetBurnsFast": "the email service was away, and greetings left more than 60 s late for it",
    "LatenessBudgetBurns": "of which there are more than the budget allows",
    "NodeDied": "a node was killed",
    "NodeUnreachable": "and did not come back",
    "OutcomesUnknown": "some calls were accepted, and the answer was lost",
}
"""The alerts that must fire, with the reason. All others must be quiet."""


@dataclass(frozen=True, slots=True)
class StoryTimes:
    """The times of the events, in seconds since 1970."""

    began: float
    due: float
    killed: float
    away: float
    back: float
    ended: float

    def marks(self) -> dict[str, float]:
        """Return the events to mark in a picture."""
        return {"09:00": self.due, "node killed": self.killed, "service away": self.away, "service back": self.back}


class NotGreeted(Exception):
    """Some users were not greeted in time."""


async def run(dsn: str, stub_url: str, api_url: str, victim: Process, say: Callable[[str], None]) -> StoryTimes:
    """Run the events, and return when all users are greeted. `victim` is killed; `api_url` is another node's.

    Raises NotGreeted.
    """
    began = time.time()
    connection = await asyncpg.connect(dsn)
    try:
        await crowd.users(connection, GREETINGS)
        due = datetime.now(UTC) + timedelta(seconds=DUE_IN)
        await crowd.due(connection, GREETINGS, due)
        async with asking(api_url):
            await _until(due.timestamp() + KILL_AFTER)
            victim.kill()
            killed = time.time()
            say("a node was killed")
            await _until(due.timestamp() + OUTAGE_AFTER)
            await _change(stub_url, down=True)
            away = time.time()
            say("the email service does not answer")
            await _until(away + OUTAGE)
            await _change(stub_url, down=False)
            back = time.time()
            say("the email service is back")
            await _all_greeted(connection, give_up_at=due.timestamp() + GIVE_UP_AFTER)
            say("every user was greeted")
            await asyncio.sleep(WATCH_ON)
    finally:
        await connection.close()
    return StoryTimes(began, due.timestamp(), killed, away, back, time.time())


@asynccontextmanager
async def asking(api_url: str) -> AsyncIterator[None]:
    """Use the API during the block, with valid and invalid requests."""
    task = asyncio.ensure_future(_ask(api_url))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _ask(api_url: str) -> None:
    async with aiohttp.ClientSession(f"{api_url}/") as session:
        number = 0
        while True:
            number += 1
            person = {
                "firstName": "Ada",
                "lastName": f"No {number}",
                "email": f"watched.{number}@example.com",
                "timezone": "Europe/London" if number % 5 else "Europe/Atlantis",
                "birthdayDate": "1990-12-10",
            }
            await session.post("api/v1/users", json=person)
            await session.get("api/v1/users", params={"limit": "20"})
            await session.get("api/v1/messages", params={"status": "sent", "limit": "20"})
            await session.get(f"api/v1/users/00000000-0000-4000-8000-{number:012}")
            await session.get("health/detailed")
            await asyncio.sleep(0.2)


async def _change(stub_url: str, *, down: bool) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.put(f"{stub_url}/options", json={"down": down})


async def _all_greeted(connection: asyncpg.Connection[asyncpg.Record], *, give_up_at: float) -> None:
    while left := await connection.fetchval(
        "select count(*) from messages where send_at <= now() and status <> 'sent'"
    ):
        if time.time() > give_up_at:
            raise NotGreeted(f"{left} messages are left after {GIVE_UP_AFTER:g} s")
        await asyncio.sleep(0.5)


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.time()))
