"""The outermost middleware: a request id, one canonical log line, the metrics and the span of each request.

Line and span have no personal data: no address of the client, no path, no query, no body.
"""

from __future__ import annotations

import re
import time
from functools import cache
from uuid import UUID

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter, Histogram

from service.api.http.request_log import RequestIds, RequestLog
from service.api.middleware.principal import PRINCIPAL
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import NO_SPAN, Span, Tracing

log = structlog.get_logger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)

_GIVEN_ID = re.compile(r"[\x21-\x7e]{1,128}")


def trace(metrics: Metrics, tracing: Tracing, request_log: RequestLog) -> Middleware:
    """The middleware, for these metrics, traces and log lines."""
    ids = RequestIds()

    @cache  # as few as there are series
    def series(method: str, route: str, status: int) -> tuple[Histogram, Counter]:
        return metrics.http.labels(method, route, status), metrics.http_requests.labels(method, route, status)

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = request[REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else ids.next()
        route = route_of(request)
        method = request.method if request.method in hdrs.METH_ALL else "OTHER"
        status = 499  # stays so if the client has left
        began = time.perf_counter()
        # Asked every few seconds by machines: no span, and a line only for those who want every detail.
        asked_often = route.startswith(("/health", "/metrics"))
        span = NO_SPAN if asked_often else _span(tracing, request, method, route)
        with structlog.contextvars.bound_contextvars(request_id=request_id), span:
            try:
                response = await handler(request)
                status = response.status
                if tracing.on:
                    span.responded(status, **_about(request, route, response))
                return response
            finally:
                seconds = time.perf_counter() - began
                durations, requests = series(method, route, status)
                durations.observe(seconds)
                requests.inc()
                by = request.get(PRINCIPAL)
                if by is not None and route.startswith("/api/"):
                    metrics.http_requests_by_key.labels(by.name).inc()
                    key = {"key": by.name}
                else:
                    key = {}
                line = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6), **key}
                # An open page asks every two seconds, and mostly nothing has changed.
                if asked_often or status == web.HTTPNotModified.status_code:
                    log.debug("http_request", actor="api", **line)
                else:
                    about = {"request_id": request_id, **tracing.ids()}
                    request_log.add({"event": "http_request", "actor": "api", **line, **about})

    return traced


def route_of(request: web.Request) -> str:
    """The route's template: a label with few values. `unmatched` for paths that lead nowhere."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _span(tracing: Tracing, request: web.Request, method: str, route: str) -> Span:
    return tracing.request(
        "_OTHER" if method == "OTHER" else method,
        None if route == "unmatched" else route,
        traceparent=request.headers.get("traceparent"),
    )


def _about(request: web.Request, route: str, response: web.StreamResponse) -> dict[str, UUID]:
    """The ids that a request named in its path, or created."""
    kind = {"users": "user", "messages": "message"}.get(route.removeprefix("/api/v1/").split("/")[0])
    made = response.headers.get(hdrs.LOCATION, "").rpartition("/")[2]
    try:
        return {kind: UUID(request.match_info.get("id", made))} if kind else {}
    except ValueError:
        return {}
