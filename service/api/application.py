"""Puts routes and middlewares together."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from service.api.dependencies import ApiDependencies
from service.api.http.body import MAX_BODY_BYTES
from service.api.http.costly_reads import CostlyReads
from service.api.http.request_log import RequestLog
from service.api.imports.slots import ImportSlots
from service.api.middleware.clients import identify
from service.api.middleware.conditional import tag_responses
from service.api.middleware.content_encoding import refuse_content_encoding
from service.api.middleware.cors import allow_origins, answer_preflights
from service.api.middleware.errors import render_errors
from service.api.middleware.idempotency import replay_responses
from service.api.middleware.limits import limit_in_flight, limit_rate
from service.api.middleware.roles import authorize
from service.api.middleware.security_headers import complete_headers
from service.api.middleware.sharing import share_responses
from service.api.middleware.tracing import trace
from service.api.middleware.undeclared import refuse_undeclared
from service.api.occasion_cache import OccasionCache
from service.api.routes.console import ConsoleRoutes
from service.api.routes.docs import DocsRoutes
from service.api.routes.email_events import EmailEventRoutes
from service.api.routes.health import HealthRoutes
from service.api.routes.holds import HoldRoutes
from service.api.routes.imports import ImportRoutes
from service.api.routes.jobs import JobRoutes
from service.api.routes.limits import LimitRoutes
from service.api.routes.me_and_audit import AccessRoutes
from service.api.routes.messages import MessageRoutes
from service.api.routes.occasions import OccasionRoutes
from service.api.routes.preview import PreviewRoutes
from service.api.routes.redrive import RedriveRoutes
from service.api.routes.suppressions import SuppressionRoutes
from service.api.routes.user_lists import UserListRoutes
from service.api.routes.users import UserRoutes
from service.api.routes.watching import WatchingRoutes


def application(dependencies: ApiDependencies, *, draining: Callable[[], bool]) -> web.Application:
    """The whole API. Middlewares are listed from the outside in."""
    rules = OccasionCache(dependencies.ports.planning, dependencies.clock)
    settings = dependencies.settings
    keys = dependencies.api_keys
    for key in settings.api_keys:
        dependencies.metrics.http_requests_by_key.labels(key.name)
    slots = ImportSlots()
    costly = CostlyReads()
    request_log = RequestLog()

    async def flush(_app: web.Application) -> None:
        request_log.flush()

    middlewares = [
        trace(dependencies.metrics, dependencies.tracing, request_log),
        render_errors,
        *([answer_preflights(settings.cors_origins)] if settings.cors_origins else []),
        identify(keys, settings.trusted_proxies, settings.cors_origins),
        # Before the keys are asked for: guessing them is limited too.
        *(
            [limit_rate(dependencies.ports.request_rate)]
            if dependencies.ports.request_rate and dependencies.settings.rate_limit
            else []
        ),
        authorize(keys),
        refuse_content_encoding,
        limit_in_flight(),
        replay_responses(dependencies.ports.idempotency),
        tag_responses,
        share_responses(),
        render_errors,
        refuse_undeclared,
    ]
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
    app.on_cleanup.append(flush)
    app.on_response_prepare.append(complete_headers)
    if settings.cors_origins:
        app.on_response_prepare.append(allow_origins(settings.cors_origins))
    app.add_routes(HealthRoutes(dependencies, draining).routes())
    app.add_routes(UserRoutes(dependencies, rules).routes())
    app.add_routes(UserListRoutes(dependencies, rules, costly).routes())
    app.add_routes(ImportRoutes(dependencies, rules, slots).routes())
    app.add_routes(HoldRoutes(dependencies).routes())
    app.add_routes(LimitRoutes(dependencies).routes())
    app.add_routes(SuppressionRoutes(dependencies, slots).routes())
    app.add_routes(EmailEventRoutes(dependencies).routes())
    app.add_routes(JobRoutes(dependencies).routes())
    app.add_routes(ConsoleRoutes(served=settings.console).routes())
    app.add_routes(DocsRoutes(rules, keys).routes())
    app.add_routes(MessageRoutes(dependencies.ports.history, dependencies.ports.user_lists, rules).routes())
    app.add_routes(OccasionRoutes(dependencies, rules).routes())
    app.add_routes(PreviewRoutes(dependencies, rules, costly).routes())
    app.add_routes(RedriveRoutes(dependencies.ports.messages, dependencies.ports.history, rules).routes())
    app.add_routes(WatchingRoutes(dependencies, rules).routes())
    app.add_routes(AccessRoutes(dependencies.ports.audit).routes())
    return app
