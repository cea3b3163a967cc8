"""The OpenAPI 3.1 document, made by apispec from the routes and from what is noted beside their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from actors.api.documented import notes
from actors.api.operations import describe
from actors.api.preview_shapes import PREVIEW_SHAPES
from actors.api.shapes import SHAPES, occasion, user
from actors.api.user_json import UserSchema, date_field

_INTRODUCTION = """\
Users, their days, and the greetings that leave at 09:00 where the user is.

Errors are problem documents (RFC 9457); `type` leads to a page about the kind of error, `errors` names the fields.
Every answer has an `X-Request-ID`, yours if you sent one. Where keys are configured, `/api/v1` wants
`Authorization: Bearer <key>`. `RateLimit` headers say how many requests are left."""

_TAGS = {
    "users": "Who is greeted, and on which days.",
    "messages": "The greetings: where each is on its way, and sending again what did not leave.",
    "preview": "What will leave when, and why somebody was or will not be greeted; nothing is changed by looking.",
    "jobs": "What heyday does by itself, done now.",
    "health": "For probes, dashboards and scrapers; without keys or limits.",
    "docs": "The API about itself.",
}


def openapi(routes: Iterable[web.AbstractRoute], occasions: Sequence[str], *, keyed: bool = False) -> dict[str, Any]:
    """The document for these routes; users have a date for each of the occasions; `keyed`: an API key is needed."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        title="heyday",
        version=version("heyday"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": _INTRODUCTION, "license": {"name": "MIT", "identifier": "MIT"}},
        servers=[{"url": "/"}],
    )
    converter = plugin.converter
    if converter is None:
        raise RuntimeError("apispec has not set up its plugin")
    converter.add_attribute_function(_shape_of_field)  # type: ignore[no-untyped-call]  # not annotated there
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    shapes = {
        "User": user([date_field(code) for code in occasions]),
        "Occasion": occasion(occasions),
        **SHAPES,
        **PREVIEW_SHAPES,
    }
    for name, shape in shapes.items():
        spec.components.schema(name, shape)
    described = [
        (
            path,
            route.method.lower(),
            noted.tag,
            describe(route.method, path, noted, occasions, shapes, converter, keyed),
        )
        for route in routes
        if (noted := notes(route.handler)) is not None and route.method != "HEAD" and (path := _path(route))
    ]
    for tag, meaning in _TAGS.items():
        spec.tag({"name": tag, "description": meaning})
    # The page shows tags as they are listed, and within a tag the operations as they come.
    for path, method, _, operation in sorted(described, key=lambda one: [*_TAGS, one[2]].index(one[2])):
        spec.path(path, operations={method: operation})
    return spec.to_dict()


def _path(route: web.AbstractRoute) -> str:
    return re.sub(r"\{(\w+)(:[^}]*)?\}", r"{\1}", route.resource.canonical) if route.resource is not None else ""


def _name(schema: type[Schema] | Schema) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    partial = isinstance(schema, Schema) and bool(schema.partial)
    return (
        ("UserChange" if partial else "UserInput")
        if issubclass(kind, UserSchema)
        else kind.__name__.removesuffix("Schema")
    )


def _shape_of_field(_converter: OpenAPIConverter, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What our own fields say about themselves; a default of null only says that there is none."""
    if ret.get("default", ...) is None:
        del ret["default"]
    shape = dict(getattr(field, "shape", {}))
    if field.allow_none and shape:
        # apispec has put null among the types.
        ret.pop("type", None)
        return {"anyOf": [shape, {"type": "null"}]}
    return shape
