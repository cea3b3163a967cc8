"""Puts routes and middlewares together."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from actors.api.body import MOST_BODY
from actors.api.calendar_rules import CalendarRules
from actors.api.errors import answer_errors
from actors.api.health import HealthRoutes
from actors.api.jobs import JobRoutes
from actors.api.parts import ApiParts
from actors.api.tracing import trace
from actors.api.users import UserRoutes


def application(parts: ApiParts, *, draining: Callable[[], bool]) -> web.Application:
    """The whole API. Middlewares are listed from the outside in."""
    rules = CalendarRules(parts.planning, parts.clock, parts.settings)
    app = web.Application(
        client_max_size=MOST_BODY,
        middlewares=[trace(parts.metrics), answer_errors],
    )
    app.add_routes(HealthRoutes(parts, draining).routes())
    app.add_routes(UserRoutes(parts, rules).routes())
    app.add_routes(JobRoutes(parts).routes())
    return app
