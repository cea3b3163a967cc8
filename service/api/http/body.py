"""Reads what a request says: a JSON body within bounds, and query parameters, both checked by a schema."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Protocol

import orjson
from aiohttp import web
from marshmallow import Schema, ValidationError

from actors.api.problems import INVALID, INVALID_QUERY, MALFORMED, MEDIA_TYPE, TIMEOUT, TOO_LARGE, FieldError, Problem

MOST_BODY = 64 * 1024
"""Bytes of a body: the largest user with every name in the largest characters takes a tenth of it."""

BODY_WITHIN = 10.0
"""Seconds for a body to arrive."""

JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})


class Loads(Protocol):
    """A schema, or what loads as one does."""

    def load(self, value: Any, /) -> Any:
        """What it makes of the value. Raises ValidationError."""


async def read(request: web.Request) -> bytes:
    """The raw body. Raises Problem when it is too large, too slow or cannot be decompressed."""
    try:
        async with asyncio.timeout(BODY_WITHIN):
            return await request.read()
    except TimeoutError as error:
        raise Problem(TIMEOUT, f"The body did not arrive within {BODY_WITHIN:g} s.") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise Problem(TOO_LARGE, f"A body has {MOST_BODY} bytes at most.") from error
    except web.RequestPayloadError as error:
        raise Problem(MALFORMED, "The body could not be read to its end.") from error


async def read_json(request: web.Request) -> Any:
    """The body as JSON. Raises Problem."""
    if request.content_type not in JSON_TYPES or (request.charset or "utf-8").lower() not in ("utf-8", "us-ascii"):
        raise Problem(MEDIA_TYPE, "Send JSON in UTF-8 as `Content-Type: application/json`.")
    return parse(await read(request))


def parse(text: bytes) -> Any:
    """The JSON value that the text is. Raises Problem; nesting beyond 1024 levels and lone surrogates included."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Problem(MALFORMED, f"The body is not JSON in UTF-8: {error}.") from error


def load(schema: Loads, value: Any) -> dict[str, Any]:
    """What the schema makes of the value. Raises Problem with every field that is wrong."""
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as error:
        _let_go(error)
        raise Problem(INVALID, _detail(errors := list(flatten(error.messages))), errors=errors) from error
    return loaded


@cache  # as few as there are classes; each made is some thirty objects in cycles, which only the collector frees
def made(schema: type[Schema]) -> Schema:
    """The one schema of that class. It has no state."""
    return schema()


def query(request: web.Request, schema: type[Schema]) -> dict[str, Any]:
    """The query parameters as the schema loads them; unknown and repeated ones are refused. Raises Problem."""
    given = request.query
    repeated = sorted({name for name in given if len(given.getall(name)) > 1})
    errors = [FieldError(name, "Given more than once.", "query") for name in repeated]
    try:
        loaded: dict[str, Any] = made(schema).load(dict(given))
    except ValidationError as error:
        _let_go(error)
        errors += flatten(error.messages, "query")
    if errors:
        raise Problem(INVALID_QUERY, _detail(errors), errors=errors)
    return loaded


def _let_go(error: ValidationError) -> None:
    """marshmallow's frames name the error that names them, and would stay until the collector comes."""
    error.__traceback__ = None


def flatten(messages: Any, place: str = "body", at: str = "") -> list[FieldError]:
    """marshmallow's nested messages, one error a field."""
    if isinstance(messages, dict):
        return [
            error
            for name, inner in messages.items()
            for error in flatten(inner, place, at if name == "_schema" else f"{at}.{name}" if at else str(name))
        ]
    return [FieldError(at[:200], str(message), place) for message in messages]


def _detail(errors: list[FieldError]) -> str:
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return f"{first.field}: {first.message}{more}" if first.field else f"{first.message}{more}"
