"""The routes that redrive failed, unknown and expired messages: one message, or all that match a filter."""

from __future__ import annotations

from typing import ClassVar

from aiohttp import web
from marshmallow import RAISE, Schema

from service.api.http.body import instance_of, load, read_json
from service.api.http.paths import path_uuid
from service.api.http.problems import NOT_FOUND, NOT_REDRIVABLE, FieldError, Problem, invalid_fields
from service.api.http.query import (
    AnyText,
    Instant,
    JsonBoolean,
    MessageIds,
    OccasionCode,
    SeveralStatuses,
    SeveralZones,
    UserId,
)
from service.api.http.responses import json_response
from service.api.middleware.idempotency import keep_of, mark_kept
from service.api.middleware.principal import principal
from service.api.occasion_cache import OccasionCache, codes
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.messages import RedrivenAnswer, RedriveResultAnswer
from service.domain.messages import REDRIVABLE, Status
from service.domain.roles import Role
from service.ports import History, MessageFilter, Messages
from service.redrive import redrive_all

MAX_REDRIVEN = 100_000
"""Messages of one request: it takes seconds, and `remaining` above 0 means to ask again."""


class RedriveSchema(Schema):
    """Selects the messages to send again, by the filters of a list of messages. `dryRun` only counts them."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    example: ClassVar = {"status": "failed", "occasion": "birthday", "from": "2026-12-01T00:00:00Z", "dryRun": True}

    status = SeveralStatuses(REDRIVABLE, required=True)
    occasion = OccasionCode(load_default=None, allow_none=True)
    since = Instant(load_default=None, allow_none=True, data_key="from")
    until = Instant(load_default=None, allow_none=True, data_key="to")
    timezones = SeveralZones(load_default=None, allow_none=True, data_key="timezone")
    user_id = UserId(load_default=None, allow_none=True, data_key="userId")
    email = AnyText(load_default=None, allow_none=True)
    ids = MessageIds(load_default=None, allow_none=True)
    dry_run = JsonBoolean(load_default=False, data_key="dryRun")


class RedriveRoutes:
    """Every message redriven gets a fresh budget of attempts, and is due at once."""

    def __init__(self, messages: Messages, history: History, rules: OccasionCache) -> None:
        self._messages = messages
        self._history = history
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/messages/{id:[^/:]+}:redrive", self.one),
            web.post("/api/v1/messages:redrive", self.many),
        ]

    @operation(
        "messages",
        "Redrive a message",
        role=Role.OPERATE,
        responses={202: ResponseSpec("Scheduled.", RedrivenAnswer)},
        problems=[NOT_REDRIVABLE],
    )
    async def one(self, request: web.Request) -> web.Response:
        """A failed, unknown or expired message is due at once, at any time of day, with a fresh budget of attempts."""
        message_id = path_uuid(request)
        timeline = await self._history.timeline(message_id)
        if timeline is None:
            raise Problem(NOT_FOUND, "There is no such message.")
        if not timeline.has_user:
            raise Problem(NOT_REDRIVABLE, "Its user is deleted.")
        if (status := timeline.message.status) not in REDRIVABLE:
            raise Problem(NOT_REDRIVABLE, f"It was {status}; only failed, unknown and expired ones can be redriven.")
        if not timeline.has_active_occasion:
            raise Problem(NOT_REDRIVABLE, "Its occasion is not active.")
        response = json_response(RedrivenAnswer.json(id=message_id, status=Status.SCHEDULED), status=202)
        keep = keep_of(request, response)
        if not await self._messages.redrive([message_id], by=principal(request), keep=keep):
            raise Problem(NOT_REDRIVABLE, "It has just changed, or PostgreSQL cannot change it.")
        if keep is not None:
            mark_kept(request)
        return response

    @operation(
        "messages",
        "Redrive messages",
        role=Role.OPERATE,
        body=RedriveSchema,
        responses={202: ResponseSpec("How many.", RedriveResultAnswer)},
    )
    async def many(self, request: web.Request) -> web.Response:
        """Redrive all messages of one status that match. Send it with `dryRun` first, which only counts them."""
        loaded = load(instance_of(RedriveSchema), await read_json(request))
        known = codes(await self._rules.current())
        if loaded["occasion"] is not None and loaded["occasion"] not in known:
            raise invalid_fields([FieldError("occasion", f"Expected one of {', '.join(known)}.")])
        wanted = MessageFilter(
            loaded["user_id"],
            loaded["status"],
            loaded["occasion"],
            loaded["since"],
            loaded["until"],
            loaded["email"],
            loaded["timezones"] or (),
            loaded["ids"] or (),
        )
        matched = await self._history.count_redrivable(wanted)
        redriven = (
            0
            if loaded["dry_run"]
            else await redrive_all(self._messages, self._history, wanted, by=principal(request), most=MAX_REDRIVEN)
        )
        return json_response(
            RedriveResultAnswer.json(
                dry_run=loaded["dry_run"],
                matched=matched,
                redriven=redriven,
                remaining=max(0, matched - redriven),
            ),
            status=202,
        )
