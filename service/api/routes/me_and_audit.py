"""The routes about access: the key of the request, and the audit log."""

from __future__ import annotations

from aiohttp import web
from marshmallow import fields

from service.api.http.body import load_query
from service.api.http.query import AnyText, Instant, Page
from service.api.http.responses import json_response
from service.api.middleware.principal import principal
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.access import AuditPage, MeAnswer
from service.api.representations.answers import Listed
from service.domain.roles import Role
from service.ports import AuditAction, AuditFilter, AuditLog


class AuditQuery(Page):
    """Selects entries; `from` is inclusive and `to` is exclusive."""

    action = fields.Enum(
        AuditAction, by_value=True, load_default=None, error_messages={"unknown": "Expected one of {choices}."}
    )
    key = AnyText(load_default=None)
    since = Instant(load_default=None, data_key="from")
    until = Instant(load_default=None, data_key="to")


class AccessRoutes:
    """Routes for the caller's own key, and for the audit log."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/me", self.me), web.get("/api/v1/audit", self.page)]

    @operation(
        "access", "Read the key of the request", role=Role.READ, responses={200: ResponseSpec("The key.", MeAnswer)}
    )
    async def me(self, request: web.Request) -> web.Response:
        """The name and the role of the request's key."""
        return json_response(MeAnswer.json(principal(request)))

    @operation(
        "access",
        "List audit entries",
        role=Role.ADMIN,
        query=AuditQuery,
        responses={200: ResponseSpec("A page.", AuditPage)},
    )
    async def page(self, request: web.Request) -> web.Response:
        """Every change except creations and edits of users, newest first: its key or command, and its subject."""
        loaded = load_query(request, AuditQuery)
        limit = loaded["limit"]
        wanted = AuditFilter(loaded["action"], loaded["key"], loaded["since"], loaded["until"])
        found = await self._audit.page(wanted, before=loaded["cursor"], limit=limit + 1)
        return json_response(AuditPage.json(Listed(found, limit)))
