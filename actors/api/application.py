"""Puts routes and middlewares together."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from actors.api.body import MOST_BODY
from actors.api.calendar_rules import CalendarRules
from actors.api.clients import authorize, identify
from actors.api.docs_page import DocsRoutes
from actors.api.errors import answer_errors
from actors.api.health import HealthRoutes
from actors.api.idempotency import keep_answers
from actors.api.imports import ImportRoutes
from actors.api.jobs import JobRoutes
from actors.api.keys import ApiKeys
from actors.api.limits import limit_in_flight, limit_rate
from actors.api.messages import MessageRoutes
from actors.api.parts import ApiParts
from actors.api.preview import PreviewRoutes
from actors.api.redrive import RedriveRoutes
from actors.api.security import complete_headers
from actors.api.tracing import trace
from actors.api.users import UserRoutes


def application(parts: ApiParts, *, draining: Callable[[], bool]) -> web.Application:
    """The whole API. Middlewares are listed from the outside in."""
    rules = CalendarRules(parts.planning, parts.clock, parts.settings)
    keys = ApiKeys(parts.settings.api_keys, parts.settings.api_keys_file)
    middlewares = [
        trace(parts.metrics, parts.tracing),
        answer_errors,
        identify(keys, parts.settings.trusted_proxies),
        # Before the keys are asked for: guessing them is limited too.
        *([limit_rate(parts.request_rate)] if parts.request_rate and parts.settings.rate_limit else []),
        authorize(keys),
        limit_in_flight(),
        keep_answers(parts.idempotency),
        answer_errors,
    ]
    app = web.Application(client_max_size=MOST_BODY, middlewares=middlewares)
    app.on_response_prepare.append(complete_headers)
    app.add_routes(HealthRoutes(parts, draining).routes())
    app.add_routes(UserRoutes(parts, rules).routes())
    app.add_routes(ImportRoutes(parts, rules).routes())
    app.add_routes(JobRoutes(parts).routes())
    app.add_routes(DocsRoutes(rules, keys).routes())
    app.add_routes(MessageRoutes(parts.history, rules).routes())
    app.add_routes(PreviewRoutes(parts, rules).routes())
    app.add_routes(RedriveRoutes(parts.messages, parts.history, rules).routes())
    return app
