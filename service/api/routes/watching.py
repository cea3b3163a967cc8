"""The routes of figures that people watch: a day around the world, and the nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from service.api.day_counts import DayCounts, window
from service.api.dependencies import ApiDependencies
from service.api.http.body import load_query
from service.api.http.etags import is_not_modified
from service.api.http.json_text import encode
from service.api.http.query import CalendarDate, Choice, Query
from service.api.occasion_cache import OccasionCache
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.watching import (
    ClockAnswer,
    DayAnswer,
    NodesAnswer,
    NodesFiguresAnswer,
    attention_json,
    day_json,
)
from service.api.watching import MAX_DAYS_KEPT, Watching
from service.domain.roles import Role
from service.reports.day import day_cells

MAX_KEPT = 2 * MAX_DAYS_KEPT + 1
"""Responses that are kept as they are written: each day by offset and by zone, and the nodes."""


class DayQuery(Query):
    """The day in UTC, today by default, and whether its cells are of offsets or of single zones."""

    date = CalendarDate(load_default=None)
    by = Choice("offset", "zone", load_default="offset")


class WatchingRoutes:
    """The routes of watched figures, which are computed at most once in five seconds for all clients."""

    def __init__(self, dependencies: ApiDependencies, rules: OccasionCache) -> None:
        self._watching = Watching(
            dependencies.ports.overviews,
            dependencies.ports.snapshots,
            node=dependencies.name,
            report=dependencies.report,
        )
        self._holds = dependencies.active_holds
        self._rules = rules
        self._written: dict[object, tuple[object, bytes, str]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/day", self.day), web.get("/api/v1/nodes", self.nodes)]

    @operation(
        "watching",
        "Watch a day",
        role=Role.READ,
        query=DayQuery,
        responses={200: ResponseSpec("The day, and what needs attention.", DayAnswer, headers=("Age",))},
    )
    async def day(self, request: web.Request) -> web.Response:
        """A day in UTC around the world: planned greetings by state, for each instant, offset and occasion.

        It also has what needs attention. The figures are at most 5 s old, those of other days 60 s. `Age` has their
        age. They are computed once for all clients on all nodes. Of a day of many messages, hours in which nothing is
        under way are counted less often.
        """
        loaded = load_query(request, DayQuery)
        now = await self._rules.now()
        day = loaded["date"] or now.astimezone(UTC).date()
        counted = await self._watching.day(day, now)
        overview = await self._watching.overview(now)
        holds = tuple(self._holds())
        by_zone = loaded["by"] == "zone"

        def content() -> Mapping[str, object]:
            counts: DayCounts = counted.content
            cells = day_cells(counts.counts, counted_at=counts.counted_at, holds=holds, by_zone=by_zone)
            begins, ends = window(day)
            attention = attention_json(overview.content, holds)
            return day_json(cells, by_zone=by_zone, date=day, from_=begins, to=ends, attention=attention)

        return self._answer(
            request,
            (day, by_zone),
            (counted.version, overview.version, holds),
            content,
            now=now,
            rate=overview.content["rate"],
            age=max(self._watching.age(counted), self._watching.age(overview)),
        )

    @operation(
        "watching",
        "Watch the nodes",
        role=Role.READ,
        responses={200: ResponseSpec("The living nodes.", NodesAnswer, headers=("Age",))},
    )
    async def nodes(self, request: web.Request) -> web.Response:
        """Every living node with its start, its last heartbeat and its report.

        The report has the actors, each with its state, mailbox, restarts and last error, and the outages, the circuit
        and the clock. `report` is null without a report for some seconds, or while Redis is down. `ended` has the nodes
        that ended in the last ten minutes and have not come back. The figures are as old as those of /api/v1/day.
        """
        now = await self._rules.now()
        overview = await self._watching.overview(now)
        return self._answer(
            request,
            "nodes",
            overview.version,
            lambda: NodesFiguresAnswer.json(items=overview.content["nodes"], ended=overview.content["endedNodes"]),
            now=now,
            rate=overview.content["rate"],
            age=self._watching.age(overview),
        )

    def _answer(
        self,
        request: web.Request,
        page: object,
        version: object,
        content: Callable[[], Mapping[str, object]],
        *,
        now: datetime,
        rate: float,
        age: float,
    ) -> web.Response:
        """The content, or 304. Business time is sent beside it and is not part of the tag, because it always moves."""
        known, body, tag = self._written.pop(page, (None, b"", ""))
        if known != version:
            body = encode(content())
            tag = hashlib.blake2b(body, digest_size=12).hexdigest()
        while len(self._written) >= MAX_KEPT:
            del self._written[next(iter(self._written))]
        self._written[page] = version, body, tag
        headers = {"ETag": f'W/"{tag}"', "Age": str(round(age))}
        if is_not_modified(request, tag):
            return web.Response(status=304, headers=headers)
        clock = encode(ClockAnswer.json(now=now, rate=rate))
        return web.Response(body=clock[:-1] + b"," + body[1:], headers=headers, content_type="application/json")
