"""The routes that send again what failed, is unknown or has expired: one message, or all that fit a filter."""

from __future__ import annotations

from aiohttp import web
from marshmallow import RAISE, Schema

from actors.api.answers import answer
from actors.api.body import load, made, read_json
from actors.api.calendar_rules import CalendarRules, codes
from actors.api.documented import Answer, operation
from actors.api.paths import uuid_in
from actors.api.problems import INVALID, NOT_FOUND, NOT_REDRIVABLE, FieldError, Problem
from actors.api.queries import Flag, Instant, MessageStatus, OccasionCode
from service.domain.messages import REDRIVABLE, Status
from service.ports import History, MessageFilter, Messages
from service.redrive import redrive_all

MOST_REDRIVEN = 100_000
"""Messages of one request: it answers within seconds, and `remaining` says whether to ask again."""


class RedriveSchema(Schema):
    """Which messages to send again. `dryRun` only counts them."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown field.", "type": "Expected a JSON object."}  # noqa: RUF012 - marshmallow's

    status = MessageStatus(REDRIVABLE, required=True)
    occasion = OccasionCode(load_default=None, allow_none=True)
    since = Instant(load_default=None, allow_none=True, data_key="from")
    until = Instant(load_default=None, allow_none=True, data_key="to")
    dry_run = Flag(load_default=False, data_key="dryRun")


class RedriveRoutes:
    """Every message redriven gets a fresh budget of attempts, and is due at once."""

    def __init__(self, messages: Messages, history: History, rules: CalendarRules) -> None:
        self._messages = messages
        self._history = history
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/messages/{id:[^/:]+}:redrive", self.one),
            web.post("/api/v1/messages:redrive", self.many),
        ]

    @operation(
        "messages", "Redrive a message", answers={202: Answer("Scheduled.", "Redriven")}, problems=[NOT_REDRIVABLE]
    )
    async def one(self, request: web.Request) -> web.Response:
        """One that is failed, unknown or expired is due at once, whatever the time, with a fresh budget of attempts."""
        message_id = uuid_in(request)
        timeline = await self._history.timeline(message_id)
        if timeline is None:
            raise Problem(NOT_FOUND, "There is no such message.")
        if not timeline.has_user:
            raise Problem(NOT_REDRIVABLE, "Its user is deleted: nobody is there to greet.")
        if not await self._messages.redrive([message_id]):
            raise Problem(
                NOT_REDRIVABLE,
                f"It was {timeline.message.status}; only failed, unknown and expired ones can be redriven.",
            )
        return answer({"id": message_id, "status": Status.SCHEDULED}, status=202)

    @operation("messages", "Redrive messages", body=RedriveSchema, answers={202: Answer("How many.", "RedriveResult")})
    async def many(self, request: web.Request) -> web.Response:
        """All of one status that fit. Send it with `dryRun` first: that only counts them."""
        loaded = load(made(RedriveSchema), await read_json(request))
        known = codes(await self._rules.current())
        if loaded["occasion"] is not None and loaded["occasion"] not in known:
            error = FieldError("occasion", f"Expected one of {', '.join(known)}.")
            raise Problem(INVALID, f"{error.field}: {error.message}", errors=[error])
        wanted = MessageFilter(None, loaded["status"], loaded["occasion"], loaded["since"], loaded["until"])
        matched = await self._history.count_redrivable(wanted)
        redriven = (
            0 if loaded["dry_run"] else await redrive_all(self._messages, self._history, wanted, most=MOST_REDRIVEN)
        )
        return answer(
            {
                "dryRun": loaded["dry_run"],
                "matched": matched,
                "redriven": redriven,
                "remaining": max(0, matched - redriven),
            },
            status=202,
        )
