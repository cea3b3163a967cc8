"""The routes by which people look at messages: of one user, by filter, and one with its whole timeline."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiohttp import web

from actors.api.answers import answer
from actors.api.body import query
from actors.api.calendar_rules import CalendarRules, codes
from actors.api.documented import Answer, operation
from actors.api.message_json import as_json, with_timeline
from actors.api.paths import uuid_in
from actors.api.problems import INVALID_QUERY, NOT_FOUND, FieldError, Problem
from actors.api.queries import Instant, MessageStatus, OccasionCode, Page, cursor
from service.ports import History, MessageFilter


class MessageQuery(Page):
    """Which messages; `from` and `to` bound sendAt, the second exclusively."""

    status = MessageStatus(load_default=None)
    occasion = OccasionCode(load_default=None)
    since = Instant(load_default=None, data_key="from")
    until = Instant(load_default=None, data_key="to")


class MessageRoutes:
    """Reading; redrive is beside."""

    def __init__(self, history: History, rules: CalendarRules) -> None:
        self._history = history
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/messages", self.page),
            web.get("/api/v1/messages/{id:[^/:]+}", self.get),
            web.get("/api/v1/users/{id:[^/:]+}/messages", self.of_user),
        ]

    @operation("messages", "List messages", query=MessageQuery, answers={200: Answer("A page.", "MessagePage")})
    async def page(self, request: web.Request) -> web.Response:
        """In the order in which they were planned."""
        return answer(await self._page(query(request, MessageQuery), None))

    @operation(
        "messages", "List a user's messages", query=MessageQuery, answers={200: Answer("A page.", "MessagePage")}
    )
    async def of_user(self, request: web.Request) -> web.Response:
        """Of a deleted user too: that somebody was greeted stays on record."""
        user_id = uuid_in(request)
        page = await self._page(query(request, MessageQuery), user_id)
        if not page["items"] and not await self._history.knows_user(user_id):
            raise Problem(NOT_FOUND, "There never was such a user.")
        return answer(page)

    @operation("messages", "Read a message", answers={200: Answer("The message and its way.", "MessageTimeline")})
    async def get(self, request: web.Request) -> web.Response:
        """With its timeline: when it was planned, queued and claimed, and every attempt that was made."""
        timeline = await self._history.timeline(uuid_in(request))
        if timeline is None:
            raise Problem(NOT_FOUND, "There is no such message.")
        return answer(with_timeline(timeline))

    async def _page(self, loaded: dict[str, Any], user_id: UUID | None) -> dict[str, Any]:
        known = codes(await self._rules.current())
        if loaded["occasion"] is not None and loaded["occasion"] not in known:
            error = FieldError("occasion", f"Expected one of {', '.join(known)}.", "query")
            raise Problem(INVALID_QUERY, f"{error.field}: {error.message}", errors=[error])
        wanted = MessageFilter(user_id, loaded["status"], loaded["occasion"], loaded["since"], loaded["until"])
        found = await self._history.page(wanted, after=loaded["cursor"], limit=loaded["limit"] + 1)
        items = found[: loaded["limit"]]
        more = len(found) > len(items)
        return {"items": [as_json(item) for item in items], "nextCursor": cursor(items[-1].id) if more else None}
