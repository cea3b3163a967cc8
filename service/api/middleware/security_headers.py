"""The headers of every response: restrictions for browsers, the request id, the rate limit."""

from __future__ import annotations

from aiohttp import web

from service.api.middleware.limits import STANDING
from service.api.middleware.tracing import REQUEST_ID

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Responses are about people, or about this moment: no proxy keeps them.
    "Cache-Control": "no-store",
}
"""Defaults; a response may set its own. Scripts of other origins read nothing, unless cors.py allows it."""


async def complete_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers. A signal handler and no middleware, as it also sees streamed responses before they begin."""
    if (request_id := request.get(REQUEST_ID)) is not None:
        response.headers["X-Request-ID"] = request_id
    for name, value in (request.get(STANDING) or {}).items():
        response.headers[name] = value
    response.headers["Server"] = "heyday"  # the framework sets its own name and version
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
