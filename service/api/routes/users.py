"""The routes of one user: create, read, replace, change and delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from service.api.dependencies import ApiDependencies
from service.api.http.body import load, load_query, read_json
from service.api.http.etags import etag, if_match_versions, is_not_modified, refuse_unless_new, version_mismatch
from service.api.http.paths import path_uuid
from service.api.http.problems import (
    CHANGED,
    EMAIL_TAKEN,
    EXTERNAL_ID_TAKEN,
    NOT_FOUND,
    FieldError,
    Problem,
    invalid_fields,
)
from service.api.http.query import Boolean, Query
from service.api.http.responses import json_response
from service.api.middleware.idempotency import created_before, key_of, mark_in_use, mark_kept
from service.api.middleware.principal import principal
from service.api.middleware.roles import require_role
from service.api.occasion_cache import OccasionCache, codes, desired_for_new_user, moved
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.users import UserSchema, as_json, future_dates, loader, merged, profile_of
from service.domain.planning import PlanningRules
from service.domain.roles import Role
from service.domain.users import Profile, User
from service.ports import EmailTaken, ExternalIdTaken, ReservationLost, UserChanged, UserNotFound

Edit = Callable[[Profile, Mapping[str, Any]], Profile]


class DeleteQuery(Query):
    """`erase` also removes personal data."""

    erase = Boolean(load_default=False)


class UserRoutes:
    """The routes under /users, without lists and the import."""

    def __init__(self, dependencies: ApiDependencies, rules: OccasionCache) -> None:
        self._users = dependencies.ports.users
        self._rules = rules

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v1/users", self.create),
            web.get("/api/v1/users/{id:[^/:]+}", self.get),
            web.put("/api/v1/users/{id:[^/:]+}", self.replace),
            web.patch("/api/v1/users/{id:[^/:]+}", self.change),
            web.delete("/api/v1/users/{id:[^/:]+}", self.delete),
        ]

    @operation(
        "users",
        "Create a user",
        role=Role.WRITE,
        body=UserSchema,
        responses={201: ResponseSpec("The user.", "User", headers=("Location", "ETag"))},
        problems=[EMAIL_TAKEN, EXTERNAL_ID_TAKEN],
        keeps_response=True,
    )
    async def create(self, request: web.Request) -> web.Response:
        """A user whose 09:00 of today is still ahead is greeted today."""
        rules = await self._rules.current()
        loaded = load(loader(codes(rules)), await read_json(request))
        now = await self._rules.now()
        if errors := future_dates(loaded, codes(rules), loaded["timezone"], now):
            raise invalid_fields(errors)
        profile = profile_of(loaded, codes(rules))
        if (before := created_before(request)) is not None:
            return _created(User(before.id, profile, before.version, before.created_at, before.updated_at), rules)
        key = key_of(request)
        try:
            user = await self._rules.apply(
                lambda present: self._users.create(profile, desired_for_new_user(present, profile, now), key=key)
            )
        except (EmailTaken, ExternalIdTaken) as error:
            raise taken(error) from error
        except ReservationLost:
            mark_in_use(request)
            raise
        if key is not None:
            mark_kept(request)
        return _created(user, rules)

    @operation(
        "users",
        "Read a user",
        role=Role.READ,
        responses={
            200: ResponseSpec("The user.", "User", headers=("ETag",)),
            304: ResponseSpec("You have this version."),
        },
        headers=["If-None-Match"],
    )
    async def get(self, request: web.Request) -> web.Response:
        rules = await self._rules.current()
        user = await self._users.get(path_uuid(request))
        if user is None:
            raise _no_user()
        if is_not_modified(request, user.version):
            return web.Response(status=304, headers={"ETag": etag(user.version)})
        return _user_response(user, rules)

    @operation(
        "users",
        "Replace a user",
        role=Role.WRITE,
        body=UserSchema,
        responses={200: ResponseSpec("The user.", "User", headers=("ETag",))},
        problems=[EMAIL_TAKEN, EXTERNAL_ID_TAKEN, CHANGED],
        headers=["If-Match"],
    )
    async def replace(self, request: web.Request) -> web.Response:
        """A field that is left out is removed. Unsent greetings follow zone and dates in the same transaction."""
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=False, edit=lambda _profile, loaded: profile_of(loaded, codes(rules))
        )

    @operation(
        "users",
        "Change a user",
        role=Role.WRITE,
        body=UserSchema,
        partial=True,
        body_type="application/merge-patch+json",
        responses={200: ResponseSpec("The user.", "User", headers=("ETag",))},
        problems=[EMAIL_TAKEN, EXTERNAL_ID_TAKEN, CHANGED],
        headers=["If-Match"],
    )
    async def change(self, request: web.Request) -> web.Response:
        """A merge patch (RFC 7396), also as `application/json`: fields that are left out stay, null removes."""
        rules = await self._rules.current()
        return await self._edit(
            request, rules, partial=True, edit=lambda profile, loaded: merged(profile, loaded, codes(rules))
        )

    @operation(
        "users",
        "Delete a user",
        role=Role.WRITE,
        query=DeleteQuery,
        responses={204: ResponseSpec("Deleted.")},
        problems=[CHANGED],
        headers=["If-Match"],
    )
    async def delete(self, request: web.Request) -> web.Response:
        """Unsent greetings are cancelled; the address is free again. `erase=true` also removes all personal data, even
        of a user who was deleted before; that needs the role `admin`."""
        user_id = path_uuid(request)
        erase = load_query(request, DeleteQuery)["erase"]
        if erase:
            require_role(request, Role.ADMIN)
        version = await self._version(request, user_id)
        try:
            found = await self._users.delete(user_id, version=version, by=principal(request), erase=erase)
        except UserChanged as error:
            raise version_mismatch(error.version) from error
        if not found:
            raise _no_user()
        return web.Response(status=204)

    async def _edit(self, request: web.Request, rules: PlanningRules, *, partial: bool, edit: Edit) -> web.Response:
        user_id = path_uuid(request)
        loaded = load(loader(codes(rules), partial=partial), await read_json(request))

        version = await self._version(request, user_id)

        async def change(present: PlanningRules) -> User | list[FieldError]:
            async with self._users.editing(user_id, version=version) as editing:
                before = editing.user.profile
                after = edit(before, loaded)
                errors = future_dates(loaded, codes(rules), after.timezone, editing.now)
                return errors or await editing.store(after, moved(present, before, after, editing.now))

        try:
            changed = await self._rules.apply(change)
        except UserNotFound as error:
            raise _no_user() from error
        except (EmailTaken, ExternalIdTaken) as error:
            raise taken(error) from error
        except UserChanged as error:
            raise version_mismatch(error.version) from error
        if not isinstance(changed, User):
            raise invalid_fields(changed)
        return _user_response(changed, rules)

    async def _version(self, request: web.Request, user_id: UUID) -> int | None:
        """The version to require. Of several accepted ones it is the current one, if that is among them.

        Raises Problem when If-None-Match forbids the change.
        """
        accepted = if_match_versions(request)
        if "If-None-Match" not in request.headers and (accepted is None or len(accepted) == 1):
            return None if accepted is None else next(iter(accepted))
        user = await self._users.get(user_id)
        version = None if user is None else user.version
        refuse_unless_new(request, version)
        return version if accepted is None or version in accepted else min(accepted)


def _created(user: User, rules: PlanningRules) -> web.Response:
    return _user_response(user, rules, status=201, headers={"Location": f"/api/v1/users/{user.id}"})


def _user_response(
    user: User, rules: PlanningRules, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return json_response(
        as_json(user, codes(rules)), status=status, headers={"ETag": etag(user.version), **(headers or {})}
    )


def _no_user() -> Problem:
    return Problem(NOT_FOUND, "There is no such user, or no longer.")


def taken(error: EmailTaken | ExternalIdTaken) -> Problem:
    """The problem of an address, or of a key, that another user has."""
    if isinstance(error, ExternalIdTaken):
        return Problem(EXTERNAL_ID_TAKEN, "Another user has this externalId.")
    return Problem(EMAIL_TAKEN, "Another user has this email address.")
