"""The routes of users: create, read, replace, change and delete one, and page through all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from actors.api.answers import answer
from actors.api.body import load, read_json
from actors.api.calendar_rules import CalendarRules, all_wanted, codes, moved
from actors.api.parts import ApiParts
from actors.api.paths import uuid_in
from actors.api.problems import EMAIL_TAKEN, NOT_FOUND, Problem
from actors.api.user_json import as_json, loader, merged, profile_of, refuse_future
from actors.api.versions import changed, etag, expected, unchanged
from service.domain.users import Profile, User
from service.planning import Rules
from service.ports import EmailTaken, UserChanged, Wanted

Edit = Callable[[Profile, Mapping[str, Any]], Profile]


class UserRoutes:
    """Everything under /users but the import."""

    def __init__(self, parts: ApiParts, rules: CalendarRules) -> None:
        self._users = parts.users
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/users", self.create),
            web.get("/api/v1/users/{id}", self.get),
            web.put("/api/v1/users/{id}", self.replace),
            web.patch("/api/v1/users/{id}", self.change),
            web.delete("/api/v1/users/{id}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        loaded = load(loader(codes(rules)), await read_json(request))
        now = self._rules.now()
        refuse_future(loaded, codes(rules), loaded["timezone"], now)
        profile = profile_of(loaded, codes(rules))
        try:
            user = await self._users.create(profile, all_wanted(rules, profile, now))
        except EmailTaken as error:
            raise _taken() from error
        return _answer(user, rules, status=201, headers={"Location": f"/api/v1/users/{user.id}"})

    async def get(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        user = await self._users.get(uuid_in(request))
        if user is None:
            raise _no_user()
        if unchanged(request, user.version):
            return web.Response(status=304, headers={"ETag": etag(user.version)})
        return _answer(user, rules)

    async def replace(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=False, edit=lambda _profile, loaded: profile_of(loaded, codes(rules))
        )

    async def change(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=True, edit=lambda profile, loaded: merged(profile, loaded, codes(rules))
        )

    async def delete(self, request: web.Request) -> web.Response:
        user_id = uuid_in(request)
        try:
            found = await self._users.delete(
                user_id, version=await self._version(user_id, expected(request)), erase=False
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
