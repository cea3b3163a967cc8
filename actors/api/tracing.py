"""The outermost middleware: a request id, one canonical log line and the metrics of each request.

The line has no personal data: no address of the client, no query, no body.
"""

from __future__ import annotations

import re
import secrets
import time
from functools import cache

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter, Histogram

from service.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)

_GIVEN_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def trace(metrics: Metrics) -> Middleware:
    """The middleware, for these metrics."""

    @cache  # as few as there are series
    def series(method: str, route: str, status: int) -> tuple[Histogram, Counter]:
        return metrics.http.labels(method, route, status), metrics.http_requests.labels(method, route, status)

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = request[REQUEST_ID] = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(16)
        route = route_of(request)
        method = request.method if request.method in hdrs.METH_ALL else "OTHER"
        status = 499  # as long as nobody has answered: the client has gone
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                response = await handler(request)
                status = response.status
                return response
            finally:
                seconds = time.perf_counter() - began
                durations, requests = series(method, route, status)
                durations.observe(seconds)
                requests.inc()
                write = log.debug if route.startswith(("/health", "/metrics")) else log.info
                write("http_request", method=method, route=route, status=status, seconds=round(seconds, 6))

    return traced


def route_of(request: web.Request) -> str:
    """The route's template: a label with few values. `unmatched` for paths that lead nowhere."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"
