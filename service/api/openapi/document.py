"""The OpenAPI 3.1 document, made by apispec from the routes and the descriptions of their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import metadata, version
from typing import Any

from aiohttp import web
from apispec import APISpec

from service.api.openapi.decorators import notes
from service.api.openapi.operations import RATE_LIMIT_HEADERS, WEBHOOK_SCHEMES, describe
from service.api.openapi.plugin import Converter, Plugin
from service.api.openapi.schemas import OTHERS, words
from service.api.representations.users import user_page

_INTRODUCTION = """\
Users, their days, and the greetings that leave at 09:00 where the user is.

Errors are problem documents (RFC 9457); `type` leads to a page about the kind of error, `errors` names the fields.
Every response has an `X-Request-ID`, yours if you sent one. If the node has keys, `/api/v1` needs
`Authorization: Bearer <key>`. Each key has a role: `read`, `write`, `operate` or `admin`. Each role may do what those
before it may do. `RateLimit` headers say how many requests are left."""

_TAGS = {
    "users": "Users and their dates.",
    "messages": "Greetings: their states, and sending again those that were not sent.",
    "watching": "A day around the world, what needs attention, and the nodes: computed once for all who watch.",
    "preview": "Future greetings, and the reasons why a user is or is not greeted. These requests change nothing.",
    "suppressions": "Addresses that get nothing.",
    "email events": "Bounces, complaints and opt-outs that email services report.",
    "occasions": "The days that users have: their texts, and when they are due.",
    "holds": "Stop sending, and let it go on.",
    "limits": "The rate and the concurrency of calls, and the log level, for all nodes while they run.",
    "jobs": "Jobs that heyday runs by itself, run now.",
    "access": "The key of a request, and the record of who changed what.",
    "health": "For probes, dashboards and scrapers; without keys or limits.",
    "docs": "The documentation of the API.",
}


def openapi(routes: Iterable[web.AbstractRoute], occasions: Sequence[str], *, keyed: bool = False) -> dict[str, Any]:
    """The document for these routes; users have a date for each of the occasions; `keyed`: an API key is needed."""
    plugin = Plugin()
    spec = APISpec(
        title="heyday",
        version=version("heyday"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": _INTRODUCTION, "contact": _contact(), "license": {"name": "MIT", "identifier": "MIT"}},
        servers=[{"url": "/"}],
    )
    converter = plugin.converter
    if not isinstance(converter, Converter):
        raise TypeError("apispec has not set up its plugin")
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for name, scheme in WEBHOOK_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, schema in {**words(occasions), **OTHERS}.items():
        spec.components.schema(name, schema)
    converter.reference(user_page(tuple(occasions)))
    schemas = spec.components.schemas
    for name, header in RATE_LIMIT_HEADERS.items():
        spec.components.header(name, header)
    described = [
        (
            path,
            route.method.lower(),
            noted.tag,
            describe(route.method, path, noted, occasions, schemas, converter, keyed),
        )
        for route in routes
        if (noted := notes(route.handler)) is not None and route.method != "HEAD" and (path := _path(route))
    ]
    for tag, meaning in _TAGS.items():
        spec.tag({"name": tag, "description": meaning})
    # /docs shows the tags in this order, and within a tag the operations in theirs.
    for path, method, _, operation in sorted(described, key=lambda one: [*_TAGS, one[2]].index(one[2])):
        spec.path(path, operations={method: operation})
    return spec.to_dict()


def _contact() -> dict[str, str]:
    """The address for questions, from the metadata of the distribution."""
    links = dict(link.split(", ", 1) for link in metadata("heyday").get_all("Project-URL", []))
    return {"name": "heyday", "url": links["Issues"]}


def _path(route: web.AbstractRoute) -> str:
    return re.sub(r"\{(\w+)(:[^}]*)?\}", r"{\1}", route.resource.canonical) if route.resource is not None else ""
