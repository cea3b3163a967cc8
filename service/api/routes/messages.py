"""The routes that read messages: those of one user, by filter, and one with its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiohttp import web

from service.api.http.body import load_query
from service.api.http.paths import path_uuid
from service.api.http.problems import NOT_FOUND, Problem, invalid_parameter
from service.api.http.query import (
    AnyText,
    Choice,
    Instant,
    OccasionCode,
    Page,
    SeveralStatuses,
    SeveralZones,
    UserId,
)
from service.api.http.responses import json_response
from service.api.occasion_cache import OccasionCache, codes
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.answers import Listed
from service.api.representations.messages import MessageAnswer, MessagePage, MessageTimelineAnswer, with_timeline
from service.api.representations.users import as_json
from service.domain.roles import Role
from service.ports import History, Message, MessageFilter, UserLists


class MessageQuery(Page):
    """Selects messages; `from` and `to` bound sendAt, the second exclusively."""

    status = SeveralStatuses(load_default=None)
    occasion = OccasionCode(load_default=None)
    timezones = SeveralZones(load_default=None, data_key="timezone")
    since = Instant(load_default=None, data_key="from")
    until = Instant(load_default=None, data_key="to")
    order = Choice("asc", "desc", load_default="asc")
    expand = Choice("user", load_default=None)


class AllMessagesQuery(MessageQuery):
    """As above, also those of one user."""

    user_id = UserId(load_default=None, data_key="userId")
    email = AnyText(load_default=None)


class MessageRoutes:
    """The routes that read messages."""

    def __init__(self, history: History, user_lists: UserLists, rules: OccasionCache) -> None:
        self._history = history
        self._user_lists = user_lists
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/messages", self.page),
            web.get("/api/v1/messages/{id:[^/:]+}", self.get),
            web.get("/api/v1/users/{id:[^/:]+}/messages", self.of_user),
        ]

    @operation(
        "messages",
        "List messages",
        role=Role.READ,
        query=AllMessagesQuery,
        responses={200: ResponseSpec("A page.", MessagePage)},
    )
    async def page(self, request: web.Request) -> web.Response:
        """In the order in which they were planned, or with `order=desc` the newest first. `status` and `timezone` take
        several, with commas. `expand=user` adds the user of each, null for one who was erased. The first page has a
        `total` where it is cheap to know: of one page, one user, or of states that end soon, up to 10000."""
        loaded = load_query(request, AllMessagesQuery)
        return json_response(await self._page(loaded, loaded["user_id"], loaded["email"]))

    @operation(
        "messages",
        "List a user's messages",
        role=Role.READ,
        query=MessageQuery,
        responses={200: ResponseSpec("A page.", MessagePage)},
    )
    async def of_user(self, request: web.Request) -> web.Response:
        """The messages of a user, who may be deleted, because messages are kept."""
        user_id = path_uuid(request)
        page = await self._page(load_query(request, MessageQuery), user_id)
        if not page["items"] and not await self._history.knows_user(user_id):
            raise Problem(NOT_FOUND, "There is no such user.")
        return json_response(page)

    @operation(
        "messages",
        "Read a message",
        role=Role.READ,
        responses={200: ResponseSpec("The message and its way.", MessageTimelineAnswer)},
    )
    async def get(self, request: web.Request) -> web.Response:
        """A message with its timeline: when it was planned, queued and claimed, and every attempt."""
        timeline = await self._history.timeline(path_uuid(request))
        if timeline is None:
            raise Problem(NOT_FOUND, "There is no such message.")
        return json_response(with_timeline(timeline))

    async def _page(self, loaded: dict[str, Any], user_id: UUID | None, email: str | None = None) -> dict[str, Any]:
        known = codes(await self._rules.current())
        if loaded["occasion"] is not None and loaded["occasion"] not in known:
            raise invalid_parameter("occasion", f"Expected one of {', '.join(known)}.")
        wanted = MessageFilter(
            user_id,
            loaded["status"] or (),
            loaded["occasion"],
            loaded["since"],
            loaded["until"],
            email,
            timezones=loaded["timezones"] or (),
        )
        after, limit = loaded["cursor"], loaded["limit"]
        newest_first = loaded["order"] == "desc"
        found = await self._history.page(wanted, after=after, limit=limit + 1, newest_first=newest_first)
        listed = Listed(found, limit)
        total = await self._total(wanted, found, limit) if after is None else None
        return MessagePage.json(
            listed,
            items=await self._shown(listed.items, expand=loaded["expand"] is not None),
            **({} if total is None else {"total": total}),
        )

    async def _total(self, wanted: MessageFilter, found: list[Message], limit: int) -> int | None:
        return len(found) if len(found) <= limit else await self._history.count(wanted)

    async def _shown(self, items: Sequence[Message], *, expand: bool) -> list[dict[str, object]]:
        if not expand:
            return [MessageAnswer.json(item) for item in items]
        known = codes(await self._rules.current())
        users = await self._user_lists.of_ids({item.user_id for item in items})
        return [
            MessageAnswer.json(item, user=as_json(user, known) if (user := users.get(item.user_id)) else None)
            for item in items
        ]
