"""The routes for previews, forecasts and explanations."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from aiohttp import web
from marshmallow import fields

from service.api.dependencies import ApiDependencies
from service.api.http.body import load_query
from service.api.http.costly_reads import CostlyReads
from service.api.http.fields import JsonSchema, Messages
from service.api.http.paths import path_uuid
from service.api.http.problems import NOT_FOUND, Problem, invalid_parameter
from service.api.http.query import (
    DEFAULT_PAGE_ITEMS,
    MAX_PAGE_ITEMS,
    Boolean,
    Instant,
    InstantOrDate,
    Number,
    OccasionCode,
    Query,
    UserId,
    midnight,
)
from service.api.http.responses import json_response
from service.api.middleware.clients import CLIENT
from service.api.occasion_cache import OccasionCache, codes
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.preview import (
    ExplanationAnswer,
    ForecastAnswer,
    PreviewPage,
    explanation_json,
    forecast_json,
    verdict_json,
)
from service.domain.planning import OccasionDay
from service.domain.roles import Role
from service.reports.explanation import explain
from service.reports.forecast import MOST_HOURS, forecast
from service.reports.outage import Outage
from service.reports.preview import OutOfReach, Position, Preview, Scope, day_from

_CURSOR_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_POSITION = re.compile(
    r"(?P<starts_at>[0-9T:.+-]{25,32})/(?:(?P<day>[a-z0-9_]{0,32}/[0-9]{1,4}/[0-9]{1,4}))?/(?P<after>[0-9a-f-]{36})?",
    re.ASCII,
)


class PositionCursor(fields.Field[Position]):
    """The position at which the page begins."""

    default_error_messages = _CURSOR_ERRORS
    json_schema: JsonSchema = MappingProxyType({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,200}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Position:
        try:
            if re.fullmatch(r"[A-Za-z0-9_-]{1,200}", value):
                return _position(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("ascii"))
        except (ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class PreviewQuery(Query):
    """The window, `to` exclusive, and who and what is looked at in it."""

    starts_at = InstantOrDate(load_default=None, data_key="from")
    ends_at = InstantOrDate(load_default=None, data_key="to")
    down_from = Instant(load_default=None, data_key="asIfDownFrom")
    down_to = Instant(load_default=None, data_key="asIfDownTo")
    occasion = OccasionCode(load_default=None)
    user_id = UserId(load_default=None, data_key="userId")
    deleted = Boolean(load_default=False)
    limit = Number(1, MAX_PAGE_ITEMS, load_default=DEFAULT_PAGE_ITEMS)
    cursor = PositionCursor(load_default=None)


class ForecastQuery(Query):
    """The time span of a forecast."""

    hours = Number(1, MOST_HOURS, load_default=48)


class PreviewRoutes:
    """Reading only: nothing is planned, moved or sent."""

    def __init__(self, dependencies: ApiDependencies, rules: OccasionCache, costly: CostlyReads) -> None:
        self._costly = costly
        self._previews = dependencies.ports.previews
        self._planning = dependencies.ports.planning
        self._history = dependencies.ports.history
        self._holds = dependencies.ports.holds
        self._settings = dependencies.settings
        self._limits = dependencies.ports.limits
        self._node_limits = dependencies.limits
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/preview", self.preview),
            web.get("/api/v1/forecast", self.forecast),
            web.get("/api/v1/users/{id:[^/:]+}/explanation", self.explanation),
        ]

    @operation(
        "preview",
        "Preview a window",
        role=Role.READ,
        query=PreviewQuery,
        responses={200: ResponseSpec("A page.", PreviewPage)},
    )
    async def preview(self, request: web.Request) -> web.Response:
        """A dry run: who gets what when (name, address, text), and who is left out and why, from a year back to two
        years ahead. Nothing is planned by it. Pages follow the days of the window; a page may have fewer items than its
        limit, even none: `nextCursor` says whether there is more.

        With `asIfDownFrom` and `asIfDownTo` each greeting also says how late it would be, or that it would have
        expired, had no node run from the one to the other. The window is then that time, unless `from` and `to` are
        given. Without them, it is the day of `from`, and today by default. A date is its midnight in UTC."""
        loaded = load_query(request, PreviewQuery)
        outage = _outage(loaded, self._settings.late_limit)
        rules = await self._rules.current()
        planned = await self._planning.planned()
        loaded["starts_at"] = loaded["starts_at"] or midnight(planned.now)
        loaded["ends_at"] = loaded["ends_at"] or day_from(loaded["starts_at"])
        after, limit = loaded.pop("cursor"), loaded.pop("limit")
        scope = Scope(**loaded)
        if scope.occasion is not None and scope.occasion not in codes(rules):
            raise invalid_parameter("occasion", f"Expected one of {', '.join(codes(rules))}.")
        try:
            scope.check(planned.now)
        except OutOfReach as error:
            raise invalid_parameter(error.field, str(error)) from error
        if after is not None and not scope.starts_at <= after.starts_at < scope.ends_at:
            raise invalid_parameter("cursor", "Expected the nextCursor of an earlier page of the same window.")
        preview = Preview(self._previews, rules, planned, late_limit=self._settings.late_limit)
        async with self._costly.turn(request[CLIENT]):
            page = await preview.page(scope, after=after, limit=limit)
        holds = await self._holds.active()
        wanted = [(item.user_id, item.occasion, item.local_year) for item in page.items]
        recipients = await self._previews.recipients(wanted)
        return json_response(
            PreviewPage.json(
                items=[
                    verdict_json(item, recipient, holds, outage)
                    for item, recipient in zip(page.items, recipients, strict=True)
                ],
                next_cursor=None if page.more is None else _cursor(page.more),
            )
        )

    @operation(
        "preview",
        "Forecast the load",
        role=Role.READ,
        query=ForecastQuery,
        responses={200: ResponseSpec("Counts per minute.", ForecastAnswer)},
    )
    async def forecast(self, request: web.Request) -> web.Response:
        """What leaves in each minute of the hours to come, planned already or still to be planned, and what should have
        left already. With a rate of the email service also when each wave will be over."""
        hours = load_query(request, ForecastQuery)["hours"]
        async with self._costly.turn(request[CLIENT]):
            found = await forecast(
                self._previews,
                await self._rules.current(),
                hours=hours,
                late_limit=self._settings.late_limit,
                rate=self._node_limits.email_rate,
            )
        return json_response(forecast_json(found, await self._holds.active()))

    @operation(
        "preview",
        "Explain a user",
        role=Role.READ,
        responses={200: ResponseSpec("Last local year, this one, the next.", ExplanationAnswer)},
    )
    async def explanation(self, request: web.Request) -> web.Response:
        """Why a user, a deleted one too, was or was not greeted, and what will happen next: per occasion and local year
        the verdict of the preview, sentences that say why, and the message with its timeline if there is one."""
        found = await explain(
            self._previews,
            self._history,
            await self._rules.current(),
            await self._planning.planned(),
            path_uuid(request),
            late_limit=self._settings.late_limit,
            holds=await self._holds.active(),
            limits=await self._limits.read(),
        )
        if found is None:
            raise Problem(NOT_FOUND, "There is no such user, and never was.")
        return json_response(explanation_json(found))


def _outage(loaded: dict[str, Any], late_limit: timedelta) -> Outage | None:
    """Take the outage out of the query. Its time is the default window. Raises Problem."""
    begins, ends = loaded.pop("down_from"), loaded.pop("down_to")
    if (begins is None) != (ends is None):
        raise invalid_parameter("asIfDownFrom" if begins is None else "asIfDownTo", "Expected, and missing.")
    if begins is not None and begins >= ends:
        raise invalid_parameter("asIfDownTo", "Expected an instant after `asIfDownFrom`.")
    for name, default in (("starts_at", begins), ("ends_at", ends)):
        loaded[name] = loaded[name] or default
    return None if begins is None else Outage(begins, ends, late_limit)


def _cursor(position: Position) -> str:
    day = position.day
    text = "/".join(
        (
            position.starts_at.isoformat(),
            "" if day is None else f"{day.occasion}/{day.local_year}/{day.month_day}",
            str(position.after or ""),
        )
    )
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(text: str) -> Position:
    """Raises ValueError."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ValueError("no position")
    starts_at = datetime.fromisoformat(found["starts_at"])
    if starts_at.tzinfo is None:
        raise ValueError("no offset")
    day = None
    if found["day"] is not None:
        occasion, local_year, month_day = found["day"].split("/")
        day = OccasionDay(occasion, int(local_year), int(month_day))
    return Position(starts_at, day, UUID(found["after"]) if found["after"] else None)
