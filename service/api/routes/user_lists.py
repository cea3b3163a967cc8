"""The route that lists users: by filters, by a part of a name or an address, and by their changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

from aiohttp import web

from service.api.dependencies import ApiDependencies
from service.api.http.body import load_query
from service.api.http.costly_reads import CostlyReads
from service.api.http.cursors import UserCursor, user_cursor
from service.api.http.fields import ExternalId, TimeZone
from service.api.http.problems import invalid_parameter
from service.api.http.query import DEFAULT_PAGE_ITEMS, MAX_PAGE_ITEMS, AnyText, Instant, MonthDay, Number, Query
from service.api.http.responses import json_response
from service.api.middleware.clients import CLIENT
from service.api.occasion_cache import OccasionCache, codes
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.users import DeletedUserAnswer, as_json, user_page
from service.domain.planning import PlanningRules
from service.domain.roles import Role
from service.ports import ChangePosition, UserFilter, UsersFound

_ALONE = ("q", "updatedSince")
"""Parameters that have an order and a bound of their own."""


class UserQuery(Query):
    """Filters. Addresses are compared as the uniqueness of users compares them."""

    email = AnyText(load_default=None)
    external_id = ExternalId(load_default=None, data_key="externalId")
    timezone = TimeZone(load_default=None)
    birthday = MonthDay(load_default=None)
    anniversary = MonthDay(load_default=None)
    q = AnyText(load_default=None)
    updated_since = Instant(load_default=None, data_key="updatedSince")
    limit = Number(1, MAX_PAGE_ITEMS, load_default=DEFAULT_PAGE_ITEMS)
    cursor = UserCursor(load_default=None)


class UserListRoutes:
    """Reading of many users."""

    def __init__(self, dependencies: ApiDependencies, rules: OccasionCache, costly: CostlyReads) -> None:
        self._costly = costly
        self._lists = dependencies.ports.user_lists
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/users", self.page)]

    @operation(
        "users", "List users", role=Role.READ, query=UserQuery, responses={200: ResponseSpec("A page.", "UserPage")}
    )
    async def page(self, request: web.Request) -> web.Response:
        """In the order of their creation. Pages pass by no user whose creation has begun, unless its transaction lasts
        for more than a second.

        `q` finds a part of a name or an address, without regard to case. A page looks at 50000 users: it can have fewer
        items than its limit, even none, and a `nextCursor`.

        `updatedSince` is for those who synchronise: users in the order of their changes, and those deleted since in
        `deleted`. No change is missed. Keep `resumeCursor` of the last page, and send it as `cursor` with the same
        `updatedSince` the next time."""
        loaded = load_query(request, UserQuery)
        rules = await self._rules.current()
        after, limit = loaded.pop("cursor"), loaded.pop("limit")
        q, since = loaded.pop("q"), loaded.pop("updated_since")
        _check_alone(request.query)
        if isinstance(after, ChangePosition) != (since is not None) and after is not None:
            raise invalid_parameter("cursor", "Expected a cursor of an earlier page of the same list.")
        if since is not None:
            async with self._costly.turn(request[CLIENT]):
                changes = await self._lists.changes(since, after=after, limit=limit)
            position = user_cursor(changes.position)
            return json_response(
                user_page(codes(rules)).json(
                    items=[as_json(user, codes(rules)) for user in changes.users],
                    deleted=[DeletedUserAnswer.json(one) for one in changes.deleted],
                    next_cursor=position if changes.more else None,
                    resume_cursor=position,
                )
            )
        if q is not None:
            async with self._costly.turn(request[CLIENT]):
                return _page(await self._lists.search(normalize("NFC", q), after=after, limit=limit), rules)
        return _page(await self._lists.page(UserFilter(**loaded), after=after, limit=limit), rules)


def _page(found: UsersFound, rules: PlanningRules) -> web.Response:
    return json_response(
        user_page(codes(rules)).json(
            items=[as_json(user, codes(rules)) for user in found.users],
            next_cursor=None if found.more is None else user_cursor(found.more),
        )
    )


def _check_alone(given: Mapping[str, Any]) -> None:
    filters = sorted(given.keys() - {"limit", "cursor"})
    for name in _ALONE:
        if name in filters and len(filters) > 1:
            filters.remove(name)
            raise invalid_parameter(name, f"Expected no other filter beside it, and found {', '.join(filters)}.")
