"""The routes that look ahead, and back: who gets what when, how much leaves when, and why somebody was not greeted."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from aiohttp import web
from marshmallow import fields

from actors.api.answers import answer
from actors.api.body import query
from actors.api.calendar_rules import CalendarRules, codes
from actors.api.documented import Answer, operation
from actors.api.fields import Messages, Shape
from actors.api.parts import ApiParts
from actors.api.paths import uuid_in
from actors.api.preview_json import explanation_json, forecast_json, verdict_json
from actors.api.problems import INVALID_QUERY, NOT_FOUND, FieldError, Problem
from actors.api.queries import ITEMS, MOST_ITEMS, Flag, Instant, Number, OccasionCode, Query
from service.explanation import explain
from service.forecast import MOST_HOURS, forecast
from service.ports import Day
from service.preview import OutOfReach, Position, Preview, Scope

_CURSOR_ERRORS: Messages = {"invalid": "Expected the nextCursor of an earlier page."}
_ID_ERRORS: Messages = {"invalid": "Expected the id of a user, a UUID."}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_POSITION = re.compile(
    r"(?P<starts_at>[0-9T:.+-]{25,32})/(?:(?P<day>[a-z0-9_]{0,32}/[0-9]{1,4}/[0-9]{1,4}))?/(?P<after>[0-9a-f-]{36})?",
    re.ASCII,
)


class PositionCursor(fields.Field[Position]):
    """Where the page begins."""

    default_error_messages = _CURSOR_ERRORS
    shape: Shape = MappingProxyType({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,200}$"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Position:
        try:
            if re.fullmatch(r"[A-Za-z0-9_-]{1,200}", value):
                return _position(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("ascii"))
        except (ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class UserId(fields.Field[UUID]):
    """The id of a user."""

    default_error_messages = _ID_ERRORS
    shape: Shape = MappingProxyType({"type": "string", "format": "uuid"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not _UUID.fullmatch(value):
            raise self.make_error("invalid")
        return UUID(value)


class PreviewQuery(Query):
    """The window, `to` exclusive, and who and what is looked at in it."""

    starts_at = Instant(required=True, data_key="from", error_messages={"required": "Expected, and missing."})
    ends_at = Instant(required=True, data_key="to", error_messages={"required": "Expected, and missing."})
    occasion = OccasionCode(load_default=None)
    user_id = UserId(load_default=None, data_key="userId")
    deleted = Flag(load_default=False)
    limit = Number(1, MOST_ITEMS, load_default=ITEMS)
    cursor = PositionCursor(load_default=None)


class ForecastQuery(Query):
    """How far ahead."""

    hours = Number(1, MOST_HOURS, load_default=48)


class PreviewRoutes:
    """Reading only: nothing is planned, moved or sent."""

    def __init__(self, parts: ApiParts, rules: CalendarRules) -> None:
        self._previews = parts.previews
        self._planning = parts.planning
        self._history = parts.history
        self._settings = parts.settings
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/preview", self.preview),
            web.get("/api/v1/forecast", self.forecast),
            web.get("/api/v1/users/{id:[^/:]+}/explanation", self.explanation),
        ]

    @operation("preview", "Preview a window", query=PreviewQuery, answers={200: Answer("A page.", "PreviewPage")})
    async def preview(self, request: web.Request) -> web.Response:
        """A dry run: who gets what when, and who is left out and why, from a year back to two years ahead. Nothing is
        planned by it. Pages follow the days of the window; a page may have fewer items than its limit, even none:
        `nextCursor` says whether there is more."""
        loaded = query(request, PreviewQuery)
        rules = await self._rules.current()
        after, limit = loaded.pop("cursor"), loaded.pop("limit")
        scope = Scope(**loaded)
        if scope.occasion is not None and scope.occasion not in codes(rules):
            raise _wrong("occasion", f"Expected one of {', '.join(codes(rules))}.")
        planned = await self._planning.planned()
        try:
            scope.check(planned.now)
        except OutOfReach as error:
            raise _wrong(error.field, str(error)) from error
        if after is not None and not scope.starts_at <= after.starts_at < scope.ends_at:
            raise _wrong("cursor", "Expected the nextCursor of an earlier page of the same window.")
        preview = Preview(self._previews, rules, planned, late_limit=self._settings.late_limit)
        page = await preview.page(scope, after=after, limit=limit)
        return answer(
            {
                "items": [verdict_json(item) for item in page.items],
                "nextCursor": None if page.more is None else _cursor(page.more),
            }
        )

    @operation(
        "preview", "Forecast the load", query=ForecastQuery, answers={200: Answer("Counts per minute.", "Forecast")}
    )
    async def forecast(self, request: web.Request) -> web.Response:
        """What leaves in each minute of the hours to come, planned already or still to be planned, and what should have
        left already. With `HEYDAY_EMAIL_RATE` also when each wave will be over."""
        hours = query(request, ForecastQuery)["hours"]
        rate = self._settings.email_rate
        found = await forecast(
            self._previews,
            await self._rules.current(),
            hours=hours,
            late_limit=self._settings.late_limit,
            rate=rate.per_second if rate is not None else None,
        )
        return answer(forecast_json(found))

    @operation(
        "preview", "Explain a user", answers={200: Answer("Last local year, this one, the next.", "Explanation")}
    )
    async def explanation(self, request: web.Request) -> web.Response:
        """Why a user, a deleted one too, was or was not greeted, and what will happen next: per occasion and local year
        the verdict of the preview, sentences that say why, and the message with its timeline if there is one."""
        found = await explain(
            self._previews,
            self._history,
            await self._rules.current(),
            await self._planning.planned(),
            uuid_in(request),
            late_limit=self._settings.late_limit,
        )
        if found is None:
            raise Problem(NOT_FOUND, "There is no such user, and never was.")
        return answer(explanation_json(found))


def _wrong(field: str, message: str) -> Problem:
    return Problem(INVALID_QUERY, f"{field}: {message}", errors=[FieldError(field, message, "query")])


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
        day = Day(occasion, int(local_year), int(month_day))
    return Position(starts_at, day, UUID(found["after"]) if found["after"] else None)
