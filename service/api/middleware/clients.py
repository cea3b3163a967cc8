"""Identifies the client, by its valid key or else by its address.

The address is that of the connection. X-Forwarded-For is believed only from a configured proxy, and only the part that
trusted proxies have added: the first address from the right that is none of them.

A node without keys serves its own machine only, but a browser there also shows pages of others. A change that such a
page asks for is answered as on a node with keys: 401.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.middleware.api_keys import ApiKeys
from service.api.middleware.principal import NO_KEY, PRINCIPAL
from service.api.middleware.tracing import REQUEST_ID
from service.domain.roles import Role
from service.environment import Network, is_loopback
from service.ports import Principal

CLIENT = web.RequestKey("client", str)
"""The name under which the client is counted."""

KEY = web.RequestKey("key", str)
"""The fingerprint of its secret; empty without a valid one."""

_GUARDED = "/api/"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1). A browser does not show the answer to a page of another origin."""


def identify(keys: ApiKeys, proxies: Sequence[Network], origins: Collection[str]) -> Middleware:
    """The middleware that identifies the client. It refuses no request.

    Without keys, pages of other machines change something only from these `origins`.
    """

    @web.middleware
    async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
        key = keys.find(_bearer(request))
        request[KEY] = key.fingerprint if key is not None else ""
        if key is not None:
            request[PRINCIPAL] = Principal(key.name, key.role, request[REQUEST_ID])
        elif not keys.needed and not _is_of_a_foreign_page(request, origins):
            request[PRINCIPAL] = Principal(NO_KEY, Role.ADMIN, request[REQUEST_ID])
        request[CLIENT] = f"key {request[KEY]}" if request[KEY] else f"address {_address(request, proxies)}"
        return await handler(request)

    return identified


def is_guarded(request: web.Request) -> bool:
    """True if keys and limits apply. Unknown paths under /api are guarded too, so a 404 shows nothing to strangers."""
    resource = request.match_info.route.resource
    return (resource.canonical if resource is not None else request.path).startswith(_GUARDED)


def _is_of_a_foreign_page(request: web.Request, origins: Collection[str]) -> bool:
    """True if a browser sent the request for a page that is not of this machine.

    A form, or a request that needs no preflight, is sent although the node might refuse a preflight.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in origins or request.method in _SAFE:
        return False
    return not _is_served_here(origin, request.headers.get("Host", ""))


@lru_cache(maxsize=64)
def _is_served_here(origin: str, host: str) -> bool:
    """True for the page of this node, and for pages of other programs of this machine, such as a proxy."""
    try:
        parts = urlsplit(origin)
        return parts.netloc == host or is_loopback(parts.hostname or "")
    except ValueError:
        return False


def _bearer(request: web.Request) -> str | None:
    values = request.headers.getall("Authorization", [])
    scheme, _, secret = (values[0] if len(values) == 1 else "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _address(request: web.Request, proxies: Sequence[Network]) -> str:
    hops = [part.strip() for value in request.headers.getall("X-Forwarded-For", []) for part in value.split(",")]
    address = _parsed(request.remote or "")
    while hops and address is not None and any(address in network for network in proxies):
        before = _parsed(hops.pop())
        if before is None:
            break
        address = before
    if isinstance(address, ipaddress.IPv6Address):
        # One subscriber has a /64.
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=1024)  # few proxies and clients send most requests
def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
