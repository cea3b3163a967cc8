"""What the commands that look need: the database by its ports, the rules, and how far planning is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.zones import TZDATA_VERSION
from service.planning import Rules
from service.ports import History, Planned, Previews, Unavailable, ZoneData
from service.settings import PlanningSettings, read_planning

OK = 0
FAILED = 1
WRONG = 2
"""Exit codes: done; a server is away, or there is no such user; what was asked, or the configuration, is wrong."""


class Wrong(Exception):
    """What was asked for makes no sense."""


class NotFound(Exception):
    """There is no such user."""


@dataclass(frozen=True)
class Looking:
    """What is to be looked at, and the rules by which."""

    previews: Previews
    history: History
    zone_data: ZoneData
    rules: Rules
    planned: Planned
    late_limit: timedelta


def look(environment: Mapping[str, str], work: Callable[[Looking], Awaitable[None]]) -> int:
    """Do the work and return the exit code. Raises BadConfiguration."""
    settings = read_planning(environment)

    async def run() -> None:
        async with _opened(settings) as looking:
            await work(looking)

    try:
        asyncio.run(run())
        sys.stdout.flush()
    except (Unavailable, NotFound) as error:
        print(f"heyday: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    except Wrong as error:
        print(f"heyday: {error}", file=sys.stderr)  # noqa: T201
        return WRONG
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`). What is left would be flushed, and fail again, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


@asynccontextmanager
async def _opened(settings: PlanningSettings) -> AsyncIterator[Looking]:
    database = Database(settings.database_url, size=1)
    await database.open()
    try:
        planning = PostgresPlanning(database)
        yield Looking(
            PostgresPreviews(database, late_limit=settings.late_limit),
            PostgresHistory(database),
            PostgresZoneData(database, release=TZDATA_VERSION),
            Rules(settings.send_at, settings.leap_day, tuple(await planning.occasions())),
            await planning.planned(),
            settings.late_limit,
        )
    finally:
        await database.close()
