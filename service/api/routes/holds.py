"""The routes of holds, which stop sending."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from aiohttp import web
from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from service.api.dependencies import ApiDependencies
from service.api.http.body import instance_of, load, load_query, read_json
from service.api.http.fields import JsonSchema, Messages, Text
from service.api.http.paths import path_uuid
from service.api.http.problems import LIMIT_REACHED, NOT_FOUND, FieldError, Problem, invalid_fields
from service.api.http.query import Boolean, Instant, OccasionCode, Page
from service.api.http.responses import json_response
from service.api.middleware.idempotency import keep_of, mark_kept
from service.api.middleware.principal import principal
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.answers import Listed
from service.api.representations.holds import HoldAnswer, HoldPage, hold_json
from service.domain.holds import MAX_REASON_CHARACTERS, Hold
from service.domain.roles import Role
from service.environment import duration
from service.ports import HoldRefused, Keep

_REASON_ERRORS: Messages = {
    "required": "Expected, and missing: people who find sending held need to know why.",
}
_DURATION_ERRORS: Messages = {
    "invalid": "Expected a duration above zero and up to 366 days, such as 90s, 15m, 2h or 1d.",
}


class Reason(Text):
    """A line of text for people."""

    default_error_messages = _REASON_ERRORS
    most = MAX_REASON_CHARACTERS
    json_schema: JsonSchema = MappingProxyType({**Text.json_schema, "maxLength": MAX_REASON_CHARACTERS})


class Duration(fields.Field[timedelta]):
    """A time span, as in the settings."""

    default_error_messages = _DURATION_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            # Above zero, and up to 366 days.
            "pattern": "^([1-9][0-9]{0,8}ms|[1-9][0-9]{0,6}s|[1-9][0-9]{0,4}m"
            "|([1-9][0-9]{0,2}|[1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-7][0-9]|878[0-4])h"
            "|([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-6])d)$",
            "examples": ["2h"],
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> timedelta:
        try:
            if isinstance(value, str) and value.isascii():
                return duration(value)
        except ValueError as error:
            raise self.make_error("invalid") from error
        raise self.make_error("invalid")


class HoldInputSchema(Schema):
    """A hold to create: its occasion, its reason and its end.

    Without `until` and `for` the hold lasts until it is released.
    """

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar = {"occasion": "birthday", "reason": "the text has a mistake", "for": "2h"}

    occasion = OccasionCode(load_default=None, allow_none=True)
    reason = Reason(required=True)
    until = Instant(load_default=None, allow_none=True)
    lasts = Duration(load_default=None, allow_none=True, data_key="for")

    @validates_schema
    def one_end(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if data.get("until") is not None and data.get("lasts") is not None:
            raise ValidationError("Expected `until` or `for`, not both.", "for")


class HoldsQuery(Page):
    """`all` adds the holds that have ended."""

    every = Boolean(load_default=False, data_key="all")


class HoldRoutes:
    """A hold takes effect on every node within a second of the answer."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._holds = dependencies.ports.holds
        self._planning = dependencies.ports.planning

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/holds", self.page),
            web.post("/api/v1/holds", self.create),
            web.post("/api/v1/holds/{id:[^/:]+}:release", self.release),
        ]

    @operation(
        "holds", "List holds", role=Role.READ, query=HoldsQuery, responses={200: ResponseSpec("A page.", HoldPage)}
    )
    async def page(self, request: web.Request) -> web.Response:
        """The active holds, oldest first. With `all=true` all holds by pages, newest first."""
        loaded = load_query(request, HoldsQuery)
        limit = loaded["limit"]
        now = (await self._planning.planned()).now
        if loaded["every"]:
            found = await self._holds.page(after=loaded["cursor"], limit=limit + 1)
        else:
            active = await self._holds.active()
            found = [one for one in active if loaded["cursor"] is None or one.id > loaded["cursor"]][: limit + 1]
        listed = Listed(found, limit)
        return json_response(HoldPage.json(listed, items=[hold_json(one, now) for one in listed.items]))

    @operation(
        "holds",
        "Stop sending",
        role=Role.OPERATE,
        body=HoldInputSchema,
        responses={201: ResponseSpec("It is held.", HoldAnswer)},
        problems=[LIMIT_REACHED],
    )
    async def create(self, request: web.Request) -> web.Response:
        """Hold everything, or one occasion. No call of the email service that the hold covers begins later than one
        second after this answer, on any node. What was queued or claimed goes back, and no attempt is spent. Several
        holds may cover one message; it leaves when all have ended."""
        loaded = load(instance_of(HoldInputSchema), await read_json(request))

        def kept(hold: Hold) -> Keep | None:
            return keep_of(request, _created(hold))

        try:
            hold = await self._holds.create(
                occasion=loaded["occasion"],
                reason=loaded["reason"],
                by=principal(request),
                until=loaded["until"],
                lasts=loaded["lasts"],
                keep=kept,
            )
        except HoldRefused as refused:
            if refused.field is None:
                raise Problem(LIMIT_REACHED, refused.reason) from refused
            raise invalid_fields([FieldError(refused.field, refused.reason)]) from refused
        mark_kept(request)
        return _created(hold)

    @operation("holds", "Release a hold", role=Role.OPERATE, responses={200: ResponseSpec("It has ended.", HoldAnswer)})
    async def release(self, request: web.Request) -> web.Response:
        """End the hold. A hold that has ended does not change.

        Messages that are due within HEYDAY_LATE_LIMIT are sent once, oldest first, and the rest expires.
        """
        found = await self._holds.release([path_uuid(request)], by=principal(request))
        if not found:
            raise Problem(NOT_FOUND, "There is no such hold.")
        return json_response(hold_json(found[0], (await self._planning.planned()).now))


def _created(hold: Hold) -> web.Response:
    return json_response(hold_json(hold, hold.created_at), status=201)
