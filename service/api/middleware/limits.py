"""Two limits: the request rate of each client, and the requests of a node at once."""

from __future__ import annotations

import math

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.http.problems import BUSY, TOO_MANY, Problem
from service.api.middleware.clients import CLIENT, is_guarded
from service.ports import Allowance, RequestRate

MAX_IN_FLIGHT = 2_000
"""Requests of a node at once. Nearly all of them wait for one of the few connections to the database, for a second or
two. More would wait too long, and take memory meanwhile."""


def limit_rate(rate: RequestRate) -> Middleware:
    """The middleware that refuses clients over their rate, and shows every client what is left."""

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_guarded(request):
            return await handler(request)
        allowance = await rate.take(request[CLIENT])
        request[STANDING] = headers = _headers(rate, allowance)
        if not allowance.allowed:
            wait = max(1, math.ceil(allowance.retry_after))
            raise Problem(
                TOO_MANY,
                f"No more than {rate.limit} in {rate.window:g} s; the next in {wait} s.",
                headers={**headers, "Retry-After": str(wait)},
            )
        return await handler(request)

    return limited


STANDING: web.RequestKey[dict[str, str]] = web.RequestKey("standing", dict)
"""The RateLimit headers of the response."""


def limit_in_flight() -> Middleware:
    """The middleware that refuses requests while the node has too many. Health and metrics are always served."""
    in_flight, most = 0, MAX_IN_FLIGHT

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        if not is_guarded(request):
            return await handler(request)
        if in_flight >= most:
            raise Problem(BUSY, "The node has too many requests at once.", headers={"Retry-After": "1"})
        in_flight += 1
        try:
            return await handler(request)
        finally:
            in_flight -= 1

    return counted


def _headers(rate: RequestRate, allowance: Allowance) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers, and the three that came before and that clients know."""
    reset = math.ceil(allowance.reset_after)
    return {
        "RateLimit-Policy": f'"default";q={rate.limit};w={max(1, math.ceil(rate.window))}',
        "RateLimit": f'"default";r={allowance.remaining};t={reset}',
        "RateLimit-Limit": str(rate.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(reset),
    }
