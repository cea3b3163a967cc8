"""The headers that every answer has: what a browser may not do with it, its request id, how the client stands."""

from __future__ import annotations

from aiohttp import web

from actors.api.limits import STANDING
from actors.api.tracing import REQUEST_ID

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Answers are about people, or about this moment: no proxy keeps them.
    "Cache-Control": "no-store",
}
"""Where the answer does not say otherwise. There are no CORS headers: other origins' scripts may not read anything."""


async def complete_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler rather than a middleware: it sees streamed answers too, just before they begin."""
    if (request_id := request.get(REQUEST_ID)) is not None:
        response.headers["X-Request-ID"] = request_id
    for name, value in (request.get(STANDING) or {}).items():
        response.headers[name] = value
    response.headers["Server"] = "heyday"  # the framework has put its own and its version there
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
