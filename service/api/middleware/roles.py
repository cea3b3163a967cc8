"""Refuses requests without the rights they need: a valid key, and a role that may make them.

Every route declares its least role in `operation` (service/api/openapi/decorators.py); one that declares none is for
the role admin.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.http.problems import FORBIDDEN, MALFORMED, UNAUTHORIZED, FieldError, Problem, invalid_fields
from service.api.middleware.api_keys import ApiKeys
from service.api.middleware.clients import is_guarded
from service.api.middleware.principal import PRINCIPAL, principal
from service.api.openapi.decorators import is_webhook, least_role
from service.domain.roles import Role


def authorize(keys: ApiKeys) -> Middleware:
    """The middleware that refuses guarded requests whose key is not valid, or has a role that may not make them."""

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_guarded(request) or is_webhook(request.match_info.handler):
            return await handler(request)
        if len(request.headers.getall("Authorization", [])) > 1:
            # Proxies and servers differ in which of them they believe.
            raise invalid_fields([FieldError("Authorization", "Expected one value.", "header")], MALFORMED)
        if PRINCIPAL not in request:
            given = keys.needed and "Authorization" in request.headers
            missing = (
                "Send an API key as `Authorization: Bearer <key>`."
                if keys.needed
                else "This node has no keys, so it changes nothing for a page of another machine."
            )
            raise Problem(
                UNAUTHORIZED,
                "The API key is not valid." if given else missing,
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if given else "Bearer"},
            )
        if request.match_info.http_exception is None:  # else there is no such route, or no such method
            require_role(request, least_role(request.match_info.handler))
        return await handler(request)

    return authorized


def require_role(request: web.Request, least: Role) -> None:
    """Raise a Problem with status 403 if the role of the key may not do what needs `least`.

    Every route declares its least role in `operation`. A handler calls this for what needs a higher one.
    """
    by = principal(request)
    if not by.role.may(least):
        raise Problem(
            FORBIDDEN,
            f"The key {by.name} has the role {by.role}; this needs the role {least}"
            + ("." if least is Role.ADMIN else " or a higher one."),
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{least}"'},
            members={"requiredRole": least},
        )
