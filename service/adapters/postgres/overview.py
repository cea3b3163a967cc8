"""Reads the figures that people watch: what needs attention, who lives, and the messages of a day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.domain.calendar import MAX_OFFSET_DAYS
from service.domain.messages import Status
from service.ports import EndedNode, LivingNode, MessageCount, Overview

_SQL = load("overview.sql")

_REACH = MAX_OFFSET_DAYS + 3
"""Days. A greeting leaves at most so far from the day in whose local year it counts: an offset, a weekend, a zone."""


class PostgresOverviews:
    """Implements `service.ports.Overviews`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, *, since: datetime, limit: int, day: tuple[datetime, datetime] | None) -> Overview:
        begins, ends = day or (None, None)
        years = [] if begins is None else _years(begins)
        row = await self._database.row(_SQL.overview, since, limit, day is not None, begins, ends, years)
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return Overview(
            now=row["now"],
            rate=row["rate"],
            ended={status: row[status] for status in (Status.UNKNOWN, Status.FAILED, Status.EXPIRED)},
            overdue=min(row["overdue"], limit),
            overdue_since=row["overdue_since"],
            nodes=[
                LivingNode(incarnation, node, _instant(started), *rest)
                for incarnation, node, started, *rest in orjson.loads(row["nodes"])
            ],
            ended_nodes=[EndedNode(*one) for one in orjson.loads(row["ended_nodes"])],
            day=None if row["day"] is None else [_count(one) for one in orjson.loads(row["day"])],
        )


def _years(begins: datetime) -> list[int]:
    """The local years of greetings that leave on a day. Partitions of other years are not read."""
    of_year = begins.timetuple().tm_yday
    years = {begins.year, begins.year - (of_year <= _REACH), begins.year + (of_year > 365 - _REACH)}
    return sorted(years)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _count(one: list[Any]) -> MessageCount:
    at, timezone, occasion, status, count, late = one
    return MessageCount(_instant(at), timezone, occasion, Status(status), count, late)
