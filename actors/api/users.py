"""The routes of users: create, read, replace, change and delete one, and page through all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from actors.api.answers import answer
from actors.api.body import load, query, read_json
from actors.api.calendar_rules import CalendarRules, codes, first_wanted, moved
from actors.api.documented import Answer, operation
from actors.api.fields import TimeZone
from actors.api.parts import ApiParts
from actors.api.paths import uuid_in
from actors.api.problems import CHANGED, EMAIL_TAKEN, NOT_FOUND, Problem
from actors.api.queries import Flag, MonthDay, Page, Query, Some, cursor
from actors.api.user_json import UserSchema, as_json, loader, merged, profile_of, refuse_future
from actors.api.versions import changed, etag, expected, unchanged
from service.domain.users import Profile, User
from service.planning import Rules
from service.ports import EmailTaken, UserChanged, Wanted

Edit = Callable[[Profile, Mapping[str, Any]], Profile]


class UserQuery(Page):
    """Which users; an address is looked up without regard to case."""

    email = Some(load_default=None)
    timezone = TimeZone(load_default=None)
    birthday = MonthDay(load_default=None)


class DeleteQuery(Query):
    """Whether personal data goes too."""

    erase = Flag(load_default=False)


class UserRoutes:
    """Everything under /users but the import."""

    def __init__(self, parts: ApiParts, rules: CalendarRules) -> None:
        self._users = parts.users
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/users", self.create),
            web.get("/api/v1/users", self.page),
            web.get("/api/v1/users/{id:[^/:]+}", self.get),
            web.put("/api/v1/users/{id:[^/:]+}", self.replace),
            web.patch("/api/v1/users/{id:[^/:]+}", self.change),
            web.delete("/api/v1/users/{id:[^/:]+}", self.delete),
        ]

    @operation(
        "users",
        "Create a user",
        body=UserSchema,
        answers={201: Answer("The user.", "User", headers=("Location", "ETag"))},
        problems=[EMAIL_TAKEN],
    )
    async def create(self, request: web.Request) -> web.Response:
        """A user whose 09:00 of today is still ahead is greeted today."""
        rules = await self._rules.current()
        loaded = load(loader(codes(rules)), await read_json(request))
        now = self._rules.now()
        refuse_future(loaded, codes(rules), loaded["timezone"], now)
        profile = profile_of(loaded, codes(rules))
        try:
            user = await self._users.create(profile, first_wanted(rules, profile, now))
        except EmailTaken as error:
            raise _taken() from error
        return _answer(user, rules, status=201, headers={"Location": f"/api/v1/users/{user.id}"})

    @operation("users", "List users", query=UserQuery, answers={200: Answer("A page.", "UserPage")})
    async def page(self, request: web.Request) -> web.Response:
        """In the order in which they were created; a page never repeats or skips anybody."""
        loaded = query(request, UserQuery)
        rules = await self._rules.current()
        limit = loaded.pop("limit")
        found = await self._users.page(after=loaded.pop("cursor"), limit=limit + 1, **loaded)
        items = found[:limit]
        more = len(found) > len(items)
        return answer(
            {
                "items": [as_json(user, codes(rules)) for user in items],
                "nextCursor": cursor(items[-1].id) if more else None,
            }
        )

    @operation(
        "users",
        "Read a user",
        answers={200: Answer("The user.", "User", headers=("ETag",)), 304: Answer("You have this version.")},
        headers=["If-None-Match"],
    )
    async def get(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        user = await self._users.get(uuid_in(request))
        if user is None:
            raise _no_user()
        if unchanged(request, user.version):
            return web.Response(status=304, headers={"ETag": etag(user.version)})
        return _answer(user, rules)

    @operation(
        "users",
        "Replace a user",
        body=UserSchema,
        answers={200: Answer("The user.", "User", headers=("ETag",))},
        problems=[EMAIL_TAKEN, CHANGED],
        headers=["If-Match"],
    )
    async def replace(self, request: web.Request) -> web.Response:
        """What is left out the user no longer has. Unsent greetings follow zone and dates in the same transaction."""
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=False, edit=lambda _profile, loaded: profile_of(loaded, codes(rules))
        )

    @operation(
        "users",
        "Change a user",
        body=UserSchema,
        partial=True,
        body_type="application/merge-patch+json",
        answers={200: Answer("The user.", "User", headers=("ETag",))},
        problems=[EMAIL_TAKEN, CHANGED],
        headers=["If-Match"],
    )
    async def change(self, request: web.Request) -> web.Response:
        """A merge patch (RFC 7396), as `application/json` too: what is left out stays, null removes."""
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=True, edit=lambda profile, loaded: merged(profile, loaded, codes(rules))
        )

    @operation(
        "users",
        "Delete a user",
        query=DeleteQuery,
        answers={204: Answer("Deleted.")},
        problems=[CHANGED],
        headers=["If-Match"],
    )
    async def delete(self, request: web.Request) -> web.Response:
        """Unsent greetings are cancelled; the address is free again. `erase=true` also removes every personal detail,
        of a user deleted before too."""
        user_id = uuid_in(request)
        erase = query(request, DeleteQuery)["erase"]
        try:
            found = await self._users.delete(
                user_id, version=await self._version(user_id, expected(request)), erase=erase
            )
        except UserChanged as error:
            raise changed(error.version) from error
        if not found:
            raise _no_user()
        return web.Response(status=204)

    async def _edit(self, request: web.Request, rules: Rules, *, partial: bool, edit: Edit) -> web.Response:
        user_id = uuid_in(request)
        loaded = load(loader(codes(rules), partial=partial), await read_json(request))

        def edited(user: User) -> Profile:
            after = edit(user.profile, loaded)
            refuse_future(loaded, codes(rules), after.timezone, self._rules.now())
            return after

        def plan(before: Profile, after: Profile, now: datetime) -> list[Wanted]:
            return moved(rules, before, after, now)

        try:
            user = await self._users.change(
                user_id, edited, plan, version=await self._version(user_id, expected(request))
            )
        except EmailTaken as error:
            raise _taken() from error
        except UserChanged as error:
            raise changed(error.version) from error
        if user is None:
            raise _no_user()
        return _answer(user, rules)

    async def _version(self, user_id: UUID, accepted: frozenset[int] | None) -> int | None:
        """The one version to insist on. Of several accepted ones it is the current, should it be among them."""
        if accepted is None or len(accepted) == 1:
            return None if accepted is None else next(iter(accepted))
        user = await self._users.get(user_id)
        return user.version if user is not None and user.version in accepted else min(accepted)


def _answer(user: User, rules: Rules, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return answer(as_json(user, codes(rules)), status=status, headers={"ETag": etag(user.version), **(headers or {})})


def _no_user() -> Problem:
    return Problem(NOT_FOUND, "There is no such user, or no longer.")


def _taken() -> Problem:
    return Problem(EMAIL_TAKEN, "Another user has this email address.")
