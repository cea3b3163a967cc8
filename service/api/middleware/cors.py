"""Cross-origin requests of browsers: allowed from the configured origins, without cookies (Fetch standard, CORS)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.middleware.clients import is_guarded

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
    ),
    "Access-Control-Max-Age": "600",
}

_EXPOSED = (
    "Age, ETag, Location, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, "
    "Retry-After, Idempotency-Replayed, WWW-Authenticate, X-Request-ID"
)


def answer_preflights(origins: Collection[str]) -> Middleware:
    """The middleware that answers preflight requests of these origins. A browser sends no key with them."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if asks and is_guarded(request) and request.headers.get("Origin") in origins:
            return web.Response(status=204, headers=_PREFLIGHT)
        return await handler(request)

    return answered


def allow_origins(origins: Collection[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """The signal handler that lets scripts of these origins read the responses of the API."""

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        if not is_guarded(request):
            return
        response.headers.add("Vary", "Origin")
        if (origin := request.headers.get("Origin")) in origins and origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    return allow
