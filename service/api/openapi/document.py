"""The OpenAPI 3.1 document, made by apispec from the routes and the descriptions of their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import metadata, version
from typing import Any

from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from service.api.openapi.decorators import notes
from service.api.openapi.email_event_schemas import EMAIL_EVENT_SCHEMAS
from service.api.openapi.hold_schemas import HOLD_SCHEMAS
from service.api.openapi.occasion_schemas import OCCASION_SCHEMAS
from service.api.openapi.operations import RATE_LIMIT_HEADERS, WEBHOOK_SCHEMES, describe
from service.api.openapi.preview_schemas import PREVIEW_SCHEMAS
from service.api.openapi.schemas import SCHEMAS, occasion, user
from service.api.openapi.suppression_schemas import SUPPRESSION_SCHEMAS
from service.api.openapi.watching_schemas import WATCHING_SCHEMAS
from service.api.representations.users import UserSchema
from service.domain.occasions import date_field

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
    "jobs": "Jobs that heyday runs by itself, run now.",
    "access": "The key of a request, and the record of who changed what.",
    "health": "For probes, dashboards and scrapers; without keys or limits.",
    "docs": "The documentation of the API.",
}


def openapi(routes: Iterable[web.AbstractRoute], occasions: Sequence[str], *, keyed: bool = False) -> dict[str, Any]:
    """The document for these routes; users have a date for each of the occasions; `keyed`: an API key is needed."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        title="heyday",
        version=version("heyday"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": _INTRODUCTION, "contact": _contact(), "license": {"name": "MIT", "identifier": "MIT"}},
        servers=[{"url": "/"}],
    )
    converter = plugin.converter
    if converter is None:
        raise RuntimeError("apispec has not set up its plugin")
    converter.add_attribute_function(_json_schema_of_field)  # type: ignore[no-untyped-call]  # not annotated there
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for name, scheme in WEBHOOK_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    schemas = {
        "User": user([date_field(code) for code in occasions]),
        "Occasion": occasion(occasions),
        **SCHEMAS,
        **PREVIEW_SCHEMAS,
        **HOLD_SCHEMAS,
        **SUPPRESSION_SCHEMAS,
        **EMAIL_EVENT_SCHEMAS,
        **OCCASION_SCHEMAS,
        **WATCHING_SCHEMAS,
    }
    for name, schema in schemas.items():
        spec.components.schema(name, schema)
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


def _name(schema: type[Schema] | Schema) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    partial = isinstance(schema, Schema) and bool(schema.partial)
    return (
        ("UserChange" if partial else "UserInput")
        if issubclass(kind, UserSchema)
        else kind.__name__.removesuffix("Schema").replace("Input", "Change" if partial else "Input")
    )


def _json_schema_of_field(
    _converter: OpenAPIConverter, field: fields.Field[Any], ret: dict[str, Any]
) -> dict[str, Any]:
    """The JSON schema that a field of ours declares. A default of null is left out: it means no default."""
    if ret.get("default", ...) is None:
        del ret["default"]
    schema = dict(getattr(field, "json_schema", {}))
    if field.allow_none and schema:
        # apispec has put null among the types.
        ret.pop("type", None)
        return {"anyOf": [schema, {"type": "null"}]}
    return schema
