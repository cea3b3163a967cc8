"""One operation of the OpenAPI document: parameters, body and responses, each with an example."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from marshmallow import Schema

from service.api.email_events.signatures import SENDGRID_SIGNATURE
from service.api.http import problems
from service.api.http.body import flatten
from service.api.http.json_text import encode
from service.api.http.problems import FieldError, Kind
from service.api.middleware.undeclared import NoFields, NoParameters
from service.api.openapi.decorators import Notes, ResponseSpec
from service.api.openapi.plugin import Converter
from service.api.representations import kinds
from service.api.representations.examples import MESSAGE_ID, USER_ID
from service.api.representations.kinds import JsonSchema
from service.api.representations.users import UserSchema, user_input_example, user_schema
from service.api.routes.imports import CSV_TYPE, NDJSON_TYPE
from service.domain.occasions import date_field
from service.domain.roles import Role

_BODY = (problems.TIMEOUT, problems.TOO_LARGE, problems.MEDIA_TYPE, problems.INVALID)
_NO_BODY = (problems.TIMEOUT, problems.TOO_LARGE, problems.INVALID)
_STREAM = (problems.MEDIA_TYPE,)  # what is wrong with a line is said in its own result
# 400 for two Authorization headers, 415 for any Content-Encoding.
_GUARDED = (
    *(problems.MALFORMED, problems.UNAUTHORIZED, problems.MEDIA_TYPE),
    *(problems.TOO_MANY, problems.UNAVAILABLE, problems.BUSY),
)
_WEBHOOK = (problems.NOT_AUTHENTIC, problems.TOO_MANY, problems.UNAVAILABLE, problems.BUSY)
_KEYED = (problems.IN_PROGRESS, problems.KEY_REUSED)
_QUERY = (problems.INVALID_QUERY,)

_HEADERS = {
    "Location": "The path of what was made.",
    "ETag": "The version, for If-Match and If-None-Match. A weak one, `W/`, is for If-None-Match only.",
    "Age": "Seconds since the figures were computed.",
    "If-Match": 'Make the change only while this is the present version, such as `"1"`, else answer 412.',
    "If-None-Match": "A read is answered with 304 without a body while the ETag is still this one. A change is made, "
    "with `*`, only if there is nothing yet, and with a tag only if that is not the present version, else answer 412.",
    "Idempotency-Key": "A POST that is sent again with the same key and body gets the same response, for 24 hours. "
    "Take a new key for each request that you mean, a UUID for instance.",
    "Retry-After": "Seconds to wait.",
    "WWW-Authenticate": "`Bearer`, and why the key does not suffice.",
}
_HEADERS_OF = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 412: "ETag", 429: "Retry-After", 503: "Retry-After"}
_HEADER_SHAPES: dict[str, JsonSchema] = {"Idempotency-Key": {"type": "string", "pattern": "^[!-~]{1,255}$"}}
RATE_LIMIT_HEADERS: dict[str, JsonSchema] = {
    "RateLimit-Policy": {"description": "The limit: `q` requests in `w` seconds.", "schema": {"type": "string"}},
    "RateLimit": {"description": "`r` requests are left; all again in `t` seconds.", "schema": {"type": "string"}},
    "RateLimit-Limit": {"description": "Requests that may come at once.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Requests that are left.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until all requests are left again.", "schema": {"type": "integer"}},
}
"""Components of the document. On a node without a limit, responses have none of them."""
_RATE_LIMIT = {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT_HEADERS}
WEBHOOK_SCHEMES: dict[str, JsonSchema] = {
    "webhookPassword": {"type": "http", "scheme": "basic", "description": "`postmark` and `brevo`; any user name."},
    "webhookToken": {"type": "http", "scheme": "bearer", "description": "`postmark` and `brevo`."},
    "sendgridSignature": {"type": "apiKey", "in": "header", "name": SENDGRID_SIGNATURE},
    "resendSignature": {"type": "apiKey", "in": "header", "name": "svix-signature"},
}
"""The authentication of webhooks. Mailgun signs in the body, for which OpenAPI has no scheme."""
_WEBHOOK_BODY: dict[str, Any] = {
    "required": True,
    "description": "An event as the email service writes it, or an array of events.",
    "content": {
        "application/json": {
            "schema": {"type": ["object", "array"], "items": {"type": "object"}},
            "example": {"RecordType": "Bounce", "Type": "HardBounce", "Email": "ada@example.com"},
        }
    },
}
_AS_BEFORE = ResponseSpec("As before.", headers=("ETag",))
_ONE_OF = {
    "job": "#/components/schemas/JobName",
    "slug": "#/components/schemas/ProblemSlug",
    "format": "#/components/schemas/EmailEventFormat",
}


def describe(
    method: str,
    path: str,
    noted: Notes,
    occasions: Sequence[str],
    schemas: Mapping[str, JsonSchema],
    converter: Converter,
    keyed: bool,
) -> dict[str, Any]:
    """The operation object. `keyed`: guarded operations need an API key; else they take one."""
    guarded = path.startswith("/api/")
    streamed = noted.body_type == NDJSON_TYPE
    repeatable = guarded and method == "POST" and not streamed and not noted.webhook
    conditional = guarded and method == "GET"
    body = _schema(noted.body, occasions)
    fieldless = repeatable and body is None
    kinds = [
        *noted.problems,
        *((problems.MALFORMED,) if noted.webhook else ()),
        *((_STREAM if streamed else _BODY) if body is not None else _NO_BODY if fieldless else ()),
        *(_QUERY if guarded and not noted.webhook else ()),
        *(_KEYED if repeatable else ()),
        *((problems.NOT_FOUND,) if "{" in path else ()),
        *(_WEBHOOK if noted.webhook else _GUARDED if guarded else ()),
        *((problems.FORBIDDEN,) if noted.role not in (None, Role.READ) else ()),
    ]
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    if noted.query is not None:
        parameters += [
            # There is no public name for the conversion of one field.
            converter._field2parameter(field, name=field.data_key or name, location="query")  # noqa: SLF001
            for name, field in noted.query.fields.items()
        ]
    headers = dict.fromkeys(
        (
            *noted.headers,
            *(("Idempotency-Key",) if repeatable else ()),
            *(("If-None-Match",) if conditional else ()),
        )
    )
    responses = dict(noted.responses)
    if conditional:
        responses[200] = replace(responses[200], headers=tuple(dict.fromkeys((*responses[200].headers, "ETag"))))
        responses.setdefault(304, _AS_BEFORE)
    parameters += [{"name": name, "in": "header", **_header(name)} for name in headers]
    operation: dict[str, Any] = {
        "operationId": _operation_id(noted.summary),
        "tags": [noted.tag],
        "summary": noted.summary,
        "description": _description(noted),
        "responses": {
            **{str(status): _response(spec, schemas, converter, guarded) for status, spec in responses.items()},
            **_problems(dict.fromkeys(kinds), path, body, noted.query),
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = _body(body, noted.body_type, occasions)
        if noted.takes_csv:
            operation["requestBody"]["content"][CSV_TYPE] = _csv(user_input_example([*map(date_field, occasions)]))
    if noted.webhook:
        operation["requestBody"] = _WEBHOOK_BODY
        operation["security"] = [{}, *({name: []} for name in WEBHOOK_SCHEMES)]
    elif guarded:
        key: dict[str, list[str]] = {"key": [noted.role] if noted.role else []}
        operation["security"] = [key] if keyed else [{}, key]
    else:
        operation["security"] = []
    return operation


def _description(noted: Notes) -> str:
    text = " ".join(noted.description.split())
    if noted.role is None:
        return text
    higher = "" if noted.role is Role.ADMIN else " or a higher one"
    return f"{text} Needs the role `{noted.role}`{higher}.".strip()


def _operation_id(summary: str) -> str:
    """`List a user's messages` is `listUserMessages`: what generated clients call their functions."""
    words = re.sub(r"'s\b", "", summary).split()
    first, *others = (word for word in words if word not in ("a", "an", "the", "of"))
    return first.lower() + "".join(word[0].upper() + word[1:] for word in others)


def _schema(schema: Schema | None, occasions: Sequence[str]) -> Schema | None:
    """The schema of a body; users have a date for each occasion."""
    return user_schema(tuple(occasions))(partial=schema.partial) if isinstance(schema, UserSchema) else schema


def _body(schema: Schema, media_type: str, occasions: Sequence[str]) -> dict[str, Any]:
    example: object = getattr(schema, "example", None)
    if isinstance(schema, UserSchema):
        dates = [date_field(code) for code in occasions]
        example = {"firstName": "Augusta", "locationCity": None} if schema.partial else user_input_example(dates)
    if media_type == NDJSON_TYPE:
        return {
            "required": True,
            "description": "One object a line, each as in the request for a single one.",
            "content": {
                NDJSON_TYPE: {
                    # A stream is what a client sends.
                    "schema": {**_lines({"$ref": f"#/components/schemas/{_input_name(schema)}"}), "format": "binary"},
                    "example": _line(example),
                }
            },
        }
    return {"required": True, "content": {media_type: {"schema": schema, "example": example}}}


def _csv(example: Mapping[str, object]) -> dict[str, Any]:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([example, example.values()])
    return {"schema": {"type": "string", "contentMediaType": CSV_TYPE}, "example": text.getvalue()}


def _lines(item: JsonSchema) -> dict[str, Any]:
    """A text of JSON documents, one on each line: decoded, an array of them (JSON Schema, 8.5)."""
    return {"type": "string", "contentMediaType": NDJSON_TYPE, "contentSchema": {"type": "array", "items": item}}


def _input_name(schema: Schema) -> str:
    return "UserInput" if isinstance(schema, UserSchema) else type(schema).__name__.removesuffix("Schema")


def _line(example: object) -> str:
    return encode(example).decode() + "\n"


def _response(
    spec: ResponseSpec, schemas: Mapping[str, JsonSchema], converter: Converter, limited: bool
) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": spec.meaning}
    headers = {**{name: _header(name) for name in spec.headers}, **(_RATE_LIMIT if limited else {})}
    if headers:
        shown["headers"] = headers
    if spec.schema is None:
        return shown
    item = kinds.ref(spec.schema) if isinstance(spec.schema, str) else converter.reference(spec.schema)
    examples = schemas[item["$ref"].rpartition("/")[2]]["examples"]
    content: dict[str, Any] = {"schema": item, "example": examples[0]}
    if spec.media_type == NDJSON_TYPE:
        content = {"schema": _lines(item), "example": "".join(map(_line, examples))}
    return {**shown, "content": {spec.media_type: content}}


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
            one["headers"] = {name: _header(name), **(_RATE_LIMIT if kind.status == 429 else {})}
        errors = {problems.INVALID: _errors(body, "body"), problems.INVALID_QUERY: _errors(query, "query")}.get(kind)
        one["content"]["application/problem+json"]["examples"][kind.slug] = {
            "summary": kind.title,
            "value": kind.example(_concrete(path), errors or ()),
        }
    return found


def _errors(schema: Schema | None, place: str) -> Sequence[FieldError]:
    """The errors of the schema for a wrong first field. Without a schema any field is wrong."""
    if schema is None:
        none = NoParameters() if place == "query" else NoFields()
        return flatten(none.validate({"dryRun": ""}), place)
    first = next(field.data_key or name for name, field in schema.fields.items())
    return [error for error in flatten(schema.validate({first: ""}), place) if error.field == first]


def _concrete(path: str) -> str:
    """The path with ids in it, as in the other examples."""
    id_ = MESSAGE_ID if path.startswith("/api/v1/messages") else USER_ID
    examples = {"id": id_, "job": "daily", "code": "birthday", "slug": "unheard-of", "format": "postmark"}
    return re.sub(r"\{(\w+)\}", lambda name: examples[name[1]], path)


def _path_parameter(name: str) -> dict[str, Any]:
    schema: JsonSchema = {"type": "string", "format": "uuid"}
    if name in _ONE_OF:
        schema = {"$ref": _ONE_OF[name]}
    elif name == "code":
        schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$", "description": "The code of an occasion."}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _header(name: str) -> dict[str, Any]:
    # Without an example: /docs would fill it in, and send each request with the condition of the example.
    return {"description": _HEADERS[name], "schema": _HEADER_SHAPES.get(name, {"type": "string"})}
