"""One operation of the OpenAPI document: its parameters, its body, its answers, and an example of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema

from actors.api import problems
from actors.api.answers import encode
from actors.api.body import flatten
from actors.api.documented import Answer, Notes
from actors.api.imports import NDJSON_TYPE
from actors.api.problems import FieldError, Kind
from actors.api.shapes import MESSAGE_ID, USER_ID, Shape, user_input_example
from actors.api.user_json import UserSchema, date_field, user_schema

_BODY = (problems.TIMEOUT, problems.TOO_LARGE, problems.MEDIA_TYPE, problems.INVALID)
_STREAM = (problems.MEDIA_TYPE,)  # what is wrong with a line is said in its own result
_GUARDED = (problems.UNAUTHORIZED, problems.TOO_MANY, problems.UNAVAILABLE, problems.BUSY)
_KEYED = (problems.IN_PROGRESS, problems.KEY_REUSED)
_QUERY = (problems.INVALID_QUERY,)

_HEADERS = {
    "Location": "The path of what was made.",
    "ETag": "The version, for If-Match and If-None-Match.",
    "If-Match": 'Make the change only while the user is of this version, such as `"1"`, else answer 412.',
    "If-None-Match": 'Answer 304 without a body while the user is of this version, such as `"1"`.',
    "Idempotency-Key": "A POST that is sent again with the same key and body is answered as before, for 24 hours. "
    "Take a new key for each request that you mean, a UUID for instance.",
    "Retry-After": "Seconds to wait.",
    "WWW-Authenticate": "`Bearer`, and what was wrong with the key.",
}
_HEADERS_OF = {401: "WWW-Authenticate", 412: "ETag", 429: "Retry-After", 503: "Retry-After"}
_HEADER_SHAPES: dict[str, Shape] = {"Idempotency-Key": {"type": "string", "pattern": "^[!-~]{1,255}$"}}
_ONE_OF = {"job": "#/components/schemas/JobName", "slug": "#/components/schemas/ProblemSlug"}


def describe(
    method: str,
    path: str,
    noted: Notes,
    occasions: Sequence[str],
    shapes: Mapping[str, Shape],
    converter: OpenAPIConverter,
    keyed: bool,
) -> dict[str, Any]:
    """The operation object. `keyed`: guarded operations need an API key; else they take one."""
    guarded = path.startswith("/api/")
    streamed = noted.body_type == NDJSON_TYPE
    repeatable = guarded and method == "POST" and not streamed
    body = _schema(noted.body, occasions)
    kinds = [
        *noted.problems,
        *((problems.MALFORMED,) if method == "POST" or body is not None else ()),
        *((_STREAM if streamed else _BODY) if body is not None else ()),
        *(_QUERY if noted.query is not None else ()),
        *(_KEYED if repeatable else ()),
        *((problems.NOT_FOUND,) if "{" in path else ()),
        *(_GUARDED if guarded else ()),
    ]
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    if noted.query is not None:
        parameters += [
            # There is no public name for the conversion of one field.
            converter._field2parameter(field, name=field.data_key or name, location="query")  # noqa: SLF001
            for name, field in noted.query.fields.items()
        ]
    headers = (*noted.headers, *(("Idempotency-Key",) if repeatable else ()))
    parameters += [{"name": name, "in": "header", **_header(name)} for name in headers]
    operation: dict[str, Any] = {
        "operationId": _operation_id(noted.summary),
        "tags": [noted.tag],
        "summary": noted.summary,
        "description": " ".join(noted.description.split()),
        "responses": {
            **{str(status): _answer(answer, shapes) for status, answer in noted.answers.items()},
            **_problems(dict.fromkeys(kinds), path, body, noted.query),
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = _body(body, noted.body_type, occasions)
    if guarded:
        operation["security"] = [{"key": []}] if keyed else [{}, {"key": []}]
    return operation


def _operation_id(summary: str) -> str:
    """`List a user's messages` is `listUserMessages`: what generated clients call their functions."""
    words = re.sub(r"'s\b", "", summary).split()
    first, *others = (word for word in words if word not in ("a", "an", "the", "of"))
    return first.lower() + "".join(word[0].upper() + word[1:] for word in others)


def _schema(schema: Schema | None, occasions: Sequence[str]) -> Schema | None:
    """The schema of a body; users have a date for each occasion."""
    return user_schema(tuple(occasions))(partial=schema.partial) if isinstance(schema, UserSchema) else schema


def _body(schema: Schema, media_type: str, occasions: Sequence[str]) -> dict[str, Any]:
    example: object = {"status": "failed", "occasion": "birthday", "from": "2026-12-01T00:00:00Z", "dryRun": True}
    if isinstance(schema, UserSchema):
        dates = [date_field(code) for code in occasions]
        example = {"firstName": "Augusta", "locationCity": None} if schema.partial else user_input_example(dates)
    if media_type == NDJSON_TYPE:
        # One document a line: a schema cannot say so, and a stream is what a client sends.
        return {
            "required": True,
            "description": "One user a line, each as in `POST /api/v1/users`.",
            "content": {NDJSON_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": _line(example)}},
        }
    return {"required": True, "content": {media_type: {"schema": schema, "example": example}}}


def _line(example: object) -> str:
    return encode(example).decode() + "\n"


def _answer(answer: Answer, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.meaning}
    if answer.headers:
        shown["headers"] = {name: _header(name) for name in answer.headers}
    if answer.shape is None:
        return shown
    shape = shapes[answer.shape]
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{answer.shape}"}}
    if answer.media_type == NDJSON_TYPE:
        content = {"schema": {"type": "string"}, "example": "".join(map(_line, shape["examples"]))}
    elif shape.get("examples"):
        content["example"] = shape["examples"][0]
    return {**shown, "content": {answer.media_type: content}}


def _problems(kinds: Mapping[Kind, None], path: str, body: Schema | None, query: Schema | None) -> dict[str, Any]:
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
        if kind.title not in one["description"]:
            one["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        if kind.status in _HEADERS_OF:
            name = _HEADERS_OF[kind.status]
            one["headers"] = {name: _header(name)}
        errors = {problems.INVALID: _errors(body, "body"), problems.INVALID_QUERY: _errors(query, "query")}.get(kind)
        one["content"]["application/problem+json"]["examples"][kind.slug] = {
            "summary": kind.title,
            "value": kind.example(_concrete(path), errors or ()),
        }
    return found


def _errors(schema: Schema | None, place: str) -> Sequence[FieldError]:
    """What the schema itself says when its first field is wrong."""
    if schema is None:
        return ()
    first = next(field.data_key or name for name, field in schema.fields.items())
    return [error for error in flatten(schema.validate({first: ""}), place) if error.field == first]


def _concrete(path: str) -> str:
    """The path with ids in it, as in the other examples."""
    id_ = MESSAGE_ID if path.startswith("/api/v1/messages") else USER_ID
    return path.replace("{id}", id_).replace("{job}", "daily").replace("{slug}", "unheard-of")


def _path_parameter(name: str) -> dict[str, Any]:
    shape = {"$ref": _ONE_OF[name]} if name in _ONE_OF else {"type": "string", "format": "uuid"}
    return {"name": name, "in": "path", "required": True, "schema": shape}


def _header(name: str) -> dict[str, Any]:
    # Without an example: /docs would fill it in, and send everybody's request on the condition of the example.
    return {"description": _HEADERS[name], "schema": _HEADER_SHAPES.get(name, {"type": "string"})}
