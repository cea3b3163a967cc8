"""Two limits: how often each client may ask, and how many requests a node works on at once."""

from __future__ import annotations

import math

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from actors.api.clients import CLIENT, is_guarded
from actors.api.problems import BUSY, TOO_MANY, Problem
from service.ports import Allowance, RequestRate

MOST_IN_FLIGHT = 2_000
"""Requests a node has at once. Nearly all of them wait for one of the few connections to the database, and a second or
two is soon enough for that; more would wait too long, and take memory meanwhile."""


def limit_rate(rate: RequestRate) -> Middleware:
    """Refuses a client that is over its rate, and tells every client how it stands."""

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
"""The RateLimit headers of the answer."""


def limit_in_flight() -> Middleware:
    """Refuses requests while the node has too many; health and metrics always get through."""
    in_flight, most = 0, MOST_IN_FLIGHT

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
    """As in draft-ietf-httpapi-ratelimit-headers, and the three that came before and that clients know."""
    reset = math.ceil(allowance.reset_after)
    return {
        "RateLimit-Policy": f'"default";q={rate.limit};w={max(1, math.ceil(rate.window))}',
        "RateLimit": f'"default";r={allowance.remaining};t={reset}',
        "RateLimit-Limit": str(rate.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(reset),
    }
