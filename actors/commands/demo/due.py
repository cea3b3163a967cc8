"""The greetings that are due on a day of the demo by the calendar, independent of planning."""

from __future__ import annotations

from actors.commands.demo.days import Day
from actors.commands.rehearsal.records import DueGreeting
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.calendar import occurrence
from service.domain.windows import days_of_interest

_SQL = load("figures.sql", __package__)


async def read_due(database: Database, day: Day) -> list[DueGreeting]:
    """Compute every greeting of the day. Raises Unavailable."""
    years: dict[int, list[int]] = {}
    for year, month_day in days_of_interest(day.start, day.end):
        years.setdefault(month_day, []).append(year)
    rows = await database.fetch(_SQL.celebrants, list(years))
    return [
        DueGreeting(row["id"], row["occasion"], year)
        for row in rows
        for year in years[row["date"].month * 100 + row["date"].day]
        if (send_at := occurrence(row["date"], row["timezone"], year).send_at) is not None
        and day.start <= send_at < day.end
        and row["created_at"] < send_at
    ]
