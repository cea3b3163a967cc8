"""Access to the database for commands that report on it: `heyday preview` and `heyday explain`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from actors.commands.exit_codes import OK
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.limits import PostgresLimits
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.holds import Hold
from service.domain.limits import LimitChange
from service.domain.planning import CalendarDefaults, PlanningRules
from service.domain.zones import TZDATA_VERSION
from service.ports import History, Planned, Previews, ZoneData
from service.settings import PlanningSettings, read_planning


@dataclass(frozen=True)
class ReportSources:
    """The ports of a report, the rules, how far planning is, the active holds, and the latest change of each limit."""

    previews: Previews
    history: History
    zone_data: ZoneData
    rules: PlanningRules
    planned: Planned
    late_limit: timedelta
    holds: Sequence[Hold] = ()
    limits: Sequence[LimitChange] = ()


def report(environment: Mapping[str, str], write: Callable[[ReportSources], Awaitable[None]]) -> int:
    """Open the database, write the report and return the exit code. Raises BadConfiguration, Unavailable."""
    settings = read_planning(environment)

    async def work() -> None:
        async with _opened(settings) as sources:
            await write(sources)

    asyncio.run(work())
    return OK


@asynccontextmanager
async def _opened(settings: PlanningSettings) -> AsyncIterator[ReportSources]:
    database = Database(settings.database_url, size=1)
    await database.open()
    try:
        defaults = CalendarDefaults(settings.send_at, settings.leap_day)
        planning = PostgresPlanning(database, defaults=defaults, late_limit=settings.late_limit)
        yield ReportSources(
            PostgresPreviews(database, late_limit=settings.late_limit, only_to=settings.only_to),
            PostgresHistory(database),
            PostgresZoneData(database, release=TZDATA_VERSION),
            await planning.rules(),
            await planning.planned(),
            settings.late_limit,
            await PostgresHolds(database).active(),
            await PostgresLimits(database).read(),
        )
    finally:
        await database.close()
