"""The OpenAPI 3.1 document, made by apispec from the routes and from what is noted beside their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from actors.api import problems
from actors.api.answers import encode
from actors.api.documented import Answer, Notes, notes
from actors.api.imports import NDJSON_TYPE
from actors.api.preview_shapes import PREVIEW_SHAPES
from actors.api.problems import Kind
from actors.api.shapes import SHAPES, Shape, user, user_input_example
from actors.api.user_json import UserSchema, date_field, user_schema

_INTRODUCTION = """\
Users, their days, and the greetings that leave at 09:00 where the user is.

Errors are problem documents (RFC 9457); `type` leads to a page about the kind of error, `errors` names the fields.
Every answer has an `X-Request-ID`, yours if you sent one. Where keys are configured, `/api/v1` wants
`Authorization: Bearer <key>`. `RateLimit` headers say how many requests are left."""

_BODY = (problems.MALFORMED, problems.TIMEOUT, problems.TOO_LARGE, problems.MEDIA_TYPE, problems.INVALID)
_GUARDED = (problems.UNAUTHORIZED, problems.TOO_MANY, problems.UNAVAILABLE, problems.BUSY)
_KEYED = (problems.MALFORMED, problems.IN_PROGRESS, problems.KEY_REUSED)
_QUERY = (problems.INVALID_QUERY,)

_HEADERS: dict[str, tuple[str, str]] = {
    "Location": ("The path of what was made.", "/api/v1/users/01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"),
    "ETag": ("The version, for If-Match and If-None-Match.", '"1"'),
    "If-Match": ("Make the change only while the user is of this version, else answer 412.", '"1"'),
    "If-None-Match": ("Answer 304 without a body while the user is of this version.", '"1"'),
    "Idempotency-Key": (
        "A POST that is sent again with the same key and body is answered as before, for 24 hours.",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
    ),
    "Retry-After": ("Seconds to wait.", "1"),
}


def openapi(routes: Iterable[web.AbstractRoute], occasions: Sequence[str]) -> dict[str, Any]:
    """The document for these routes; users have a date for each of the occasions."""
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
    date_fields = [date_field(code) for code in occasions]
    shapes = {"User": user(date_fields), **SHAPES, **PREVIEW_SHAPES}
    for name, shape in shapes.items():
        spec.components.schema(name, shape)
    for route in routes:
        noted = notes(route.handler)
        if noted is not None and route.method != "HEAD" and route.resource is not None:
            path = re.sub(r"\{(\w+)(:[^}]*)?\}", r"{\1}", route.resource.canonical)
            spec.path(
                path, operations={route.method.lower(): _operation(route, path, noted, occasions, shapes, converter)}
            )
    return spec.to_dict()


def _operation(
    route: web.AbstractRoute,
    path: str,
    noted: Notes,
    occasions: Sequence[str],
    shapes: Mapping[str, Shape],
    converter: OpenAPIConverter,
) -> dict[str, Any]:
    guarded = path.startswith("/api/")
    keyed = guarded and route.method == "POST" and not path.endswith(":import")
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    if noted.query is not None:
        parameters += [
            # There is no public name for the conversion of one field.
            converter._field2parameter(field, name=field.data_key or name, location="query")  # noqa: SLF001
            for name, field in noted.query.fields.items()
        ]
    headers = (*noted.headers, *(("Idempotency-Key",) if keyed else ()))
    parameters += [{"name": name, "in": "header", **_header(name)} for name in headers]
    kinds = {
        kind.slug: kind
        for kind in (
            *noted.problems,
            *(_BODY if noted.body is not None else ()),
            *(_QUERY if noted.query is not None else ()),
            *(_KEYED if keyed else ()),
            *((problems.NOT_FOUND,) if "{" in path else ()),
            *(_GUARDED if guarded else ()),
        )
    }
    operation: dict[str, Any] = {
        "operationId": getattr(route.handler, "__qualname__", "").replace("Routes.", "_").lower(),
        "tags": [noted.tag],
        "summary": noted.summary,
        "description": noted.description,
        "responses": {
            **{str(status): _answer(answer, shapes) for status, answer in noted.answers.items()},
            **_problems(list(kinds.values()), path),
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if noted.body is not None:
        operation["requestBody"] = _body(noted, occasions)
    if guarded:
        operation["security"] = [{}, {"key": []}]
    return operation


def _body(noted: Notes, occasions: Sequence[str]) -> dict[str, Any]:
    schema = noted.body
    example: object = {"status": "failed", "occasion": "birthday", "from": "2026-12-01T00:00:00Z", "dryRun": True}
    if isinstance(schema, UserSchema):
        dates = [date_field(code) for code in occasions]
        example = {"firstName": "Augusta", "locationCity": None} if schema.partial else user_input_example(dates)
        schema = user_schema(tuple(occasions))(partial=schema.partial)
    if noted.body_type == NDJSON_TYPE:
        # One document a line: a schema cannot say so, and a string is what a client sends.
        return {
            "required": True,
            "description": "One user a line, each as in `POST /api/v1/users`.",
            "content": {NDJSON_TYPE: {"schema": {"type": "string"}, "example": _line(example)}},
        }
    content = {"schema": schema, "example": example}
    return {"required": True, "content": {noted.body_type: content}}


def _line(example: object) -> str:
    return encode(example).decode() + "\n"


def _answer(answer: Answer, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.meaning}
    if answer.headers:
        shown["headers"] = {name: _header(name) for name in answer.headers}
    if answer.shape is not None:
        shape = shapes[answer.shape]
        content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{answer.shape}"}}
        if answer.media_type == NDJSON_TYPE:
            content = {"schema": {"type": "string"}, "example": "".join(map(_line, shape["examples"]))}
        elif shape.get("examples"):
            content["example"] = shape["examples"][0]
        shown["content"] = {answer.media_type: content}
    elif answer.media_type != "application/json":
        shown["content"] = {answer.media_type: {"schema": {"type": "string"}}}
    return shown


def _problems(kinds: Sequence[Kind], path: str) -> dict[str, Any]:
    """The problem documents, by status: one status may have several kinds."""
    found: dict[str, Any] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        one = found.setdefault(
            str(kind.status),
            {
                "description": kind.title,
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
                },
            },
        )
        if kind.status in (409, 422) and kind.title not in one["description"]:
            one["description"] += f"; {kind.title.lower()}"
        if kind.status in (429, 503):
            one["headers"] = {"Retry-After": _header("Retry-After")}
        one["content"]["application/problem+json"]["examples"][kind.slug] = {
            "summary": kind.title,
            "value": kind.example(path),
        }
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": "string", "format": "uuid"}
    if name == "job":
        shape = {"type": "string", "enum": ["daily", "minute", "recovery"]}
    if name == "slug":
        shape = {"type": "string", "enum": sorted(problems.KINDS)}
    return {"name": name, "in": "path", "required": True, "schema": shape}


def _header(name: str) -> dict[str, Any]:
    description, example = _HEADERS[name]
    return {"description": description, "schema": {"type": "string"}, "example": example}


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
    if field.allow_none and isinstance(shape.get("type"), str):
        shape["type"] = [shape["type"], "null"]
    return shape
