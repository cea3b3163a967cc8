"""The key that a request was made with, for the log, the metrics, the audit log and the rights of its role."""

from __future__ import annotations

from aiohttp import web

from service.ports import Principal

PRINCIPAL = web.RequestKey("principal", Principal)
"""Set for requests that may go on: with a valid key, or on a node without keys."""

NO_KEY = "no key"
"""The name in place of a key's where the node has no keys. No key can have it."""


def principal(request: web.Request) -> Principal:
    """The key of the request and its role."""
    return request[PRINCIPAL]
