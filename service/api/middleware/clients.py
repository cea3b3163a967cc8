"""Who is asking: by key if it is a valid one, else by address; and the refusal of those without a key.

The address is the connection's. Only where that is a configured proxy, X-Forwarded-For is believed, and of it only what
trusted proxies have added: the first address from the right that is none of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from actors.api.keys import ApiKeys
from actors.api.problems import UNAUTHORIZED, Problem
from service.settings import Network

CLIENT = web.RequestKey("client", str)
"""What the client is counted as."""

KEY = web.RequestKey("key", str)
"""The fingerprint of its key; empty without a valid one."""

_GUARDED = "/api/"


def identify(keys: ApiKeys, proxies: Sequence[Network]) -> Middleware:
    """Finds out who is asking; refuses nobody."""

    @web.middleware
    async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[KEY] = keys.fingerprint(_bearer(request)) or ""
        request[CLIENT] = f"key {request[KEY]}" if request[KEY] else f"address {_address(request, proxies)}"
        return await handler(request)

    return identified


def authorize(keys: ApiKeys) -> Middleware:
    """Refuses whoever asks for something guarded without a valid key, once there are keys."""

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if keys.needed and is_guarded(request) and not request[KEY]:
            given = "Authorization" in request.headers
            raise Problem(
                UNAUTHORIZED,
                "The API key is not valid." if given else "Send an API key as `Authorization: Bearer <key>`.",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if given else "Bearer"},
            )
        return await handler(request)

    return authorized


def is_guarded(request: web.Request) -> bool:
    """Whether keys and limits apply; what leads nowhere under /api is guarded too, so nobody learns what is there."""
    resource = request.match_info.route.resource
    return (resource.canonical if resource is not None else request.path).startswith(_GUARDED)


def _bearer(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _address(request: web.Request, proxies: Sequence[Network]) -> str:
    hops = [part.strip() for value in request.headers.getall("X-Forwarded-For", []) for part in value.split(",")]
    address = _parsed(request.remote or "")
    while hops and address is not None and any(address in network for network in proxies):
        before = _parsed(hops.pop())
        if before is None:
            break
        address = before
    if isinstance(address, ipaddress.IPv6Address):
        # One subscriber has a whole /64.
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=1024)  # the same few proxies and clients, again and again
def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
