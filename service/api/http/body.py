"""Reads a request: a JSON body within bounds, and query parameters. A schema checks both."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from functools import cache
from typing import Any, Protocol

import orjson
from aiohttp import web
from marshmallow import Schema, ValidationError

from service.api.http.problems import (
    BUSY,
    INVALID_QUERY,
    MALFORMED,
    MEDIA_TYPE,
    TIMEOUT,
    TOO_LARGE,
    FieldError,
    Problem,
    invalid_fields,
)

MAX_BODY_BYTES = 64 * 1024
"""Bytes of a body. The largest user, with every name in the largest characters, takes a tenth of it."""

BODY_TIMEOUT = 10.0
"""Seconds for a body to arrive."""

MAX_FIELD_NAME = 200
"""Characters of a field's name in an error."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})


class Loads(Protocol):
    """A schema, or an object with the same `load`."""

    def load(self, value: Any, /) -> Any:
        """The loaded value. Raises ValidationError."""


async def read_body(request: web.Request) -> bytes:
    """The raw body. Raises Problem when it is too large, too slow or cut off."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError as error:
        raise Problem(TIMEOUT, f"The body did not arrive within {BODY_TIMEOUT:g} s.") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except web.RequestPayloadError as error:
        raise Problem(MALFORMED, "The body could not be read to its end.") from error


class BodyMemory:
    """The bytes that the bodies of one route may take together while they arrive.

    Each counts as `least` at least, so their number is bounded, too: of those that never arrive as well.
    """

    def __init__(self, most: int, *, least: int) -> None:
        self.least = least
        self._left = most

    def take(self, count: int) -> None:
        """Take bytes. Raises Problem when there are too few."""
        if count > self._left:
            raise Problem(BUSY, "Too many large requests are under way.", headers={"Retry-After": "10"})
        self._left -= count

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        self._left += count


async def read_large_body(request: web.Request, most: int, memory: BodyMemory) -> bytes:
    """The raw body of a route that takes more than `MAX_BODY_BYTES`. Raises Problem as `read_body` does."""
    if (request.content_length or 0) > most:
        raise _too_large(most)
    body, taken = bytearray(), memory.least
    memory.take(taken)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for part in request.content.iter_any():
                body += part
                if (more := len(body) - taken) > 0:
                    memory.take(more)
                    taken += more
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError as error:
        raise Problem(TIMEOUT, f"The body did not arrive within {BODY_TIMEOUT:g} s.") from error
    except web.RequestPayloadError as error:
        raise Problem(MALFORMED, "The body could not be read to its end.") from error
    finally:
        memory.give_back(taken)
    return bytes(body)


def require_json(request: web.Request) -> None:
    """Raise Problem unless the body is said to be JSON in UTF-8."""
    if request.content_type not in JSON_TYPES or (request.charset or "utf-8").lower() not in ("utf-8", "us-ascii"):
        raise Problem(MEDIA_TYPE, "Send JSON in UTF-8 as `Content-Type: application/json`.")


async def read_json(request: web.Request) -> Any:
    """The body as JSON. Raises Problem."""
    require_json(request)
    return parse(await read_body(request))


def parse(text: bytes, *, name: str = "The body") -> Any:
    """Parse JSON; a byte order mark before it is ignored (RFC 8259, 8.1). An error calls the text by this `name`.

    Raises Problem, also for nesting beyond 1024 levels, for lone surrogates and for an object with a name twice.
    """
    document = parse_foreign(text, name=name)
    if (repeated := repeated_name(text, document)) is not None:
        errors = [FieldError(repeated[:MAX_FIELD_NAME], "Given more than once.")]
        raise invalid_fields(errors, MALFORMED)
    return document


def parse_foreign(text: bytes, *, name: str = "The body") -> Any:
    """Parse JSON of a program that may repeat names: the last of them counts. Raises Problem as `parse` does."""
    try:
        return orjson.loads(text.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise Problem(MALFORMED, f"{name} is not JSON in UTF-8: {error}.") from error


class _RepeatedName(Exception):
    """An object has this name twice."""


def repeated_name(text: bytes, document: Any) -> str | None:
    """A name that an object of this JSON has twice (RFC 7493, 2.3), or None. `document` is the text as parsed."""
    # Each member has a colon. If there are more, they are in texts or in inner objects, or a name is repeated.
    if text.count(b":") <= (len(document) if isinstance(document, dict) else 0):
        return None
    try:
        _NAMES_ONCE.decode(text.removeprefix(BYTE_ORDER_MARK).decode())
    except _RepeatedName as repeated:
        return str(repeated)
    except RecursionError:  # nested far beyond any schema, which refuses it
        return None
    return None


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        counts = Counter(name for name, _ in members)
        raise _RepeatedName(next(name for name, count in counts.items() if count > 1))
    return found


_NAMES_ONCE = json.JSONDecoder(object_pairs_hook=_once)
"""Some ten times slower than orjson."""


def _too_large(most: int = MAX_BODY_BYTES) -> Problem:
    return Problem(TOO_LARGE, f"A body has {most} bytes at most.")


def load(schema: Loads, value: Any) -> dict[str, Any]:
    """The value as the schema loads it. Raises Problem that names the fields that are wrong."""
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as error:
        _break_reference_cycle(error)
        raise invalid_fields(flatten(error.messages)) from error
    return loaded


@cache  # few classes; each instance is some thirty objects in cycles, which only the collector frees
def instance_of(schema: type[Schema]) -> Schema:
    """The shared instance of the schema class, which has no state."""
    return schema()


def load_query(request: web.Request, schema: type[Schema]) -> dict[str, Any]:
    """The query parameters as the schema loads them. Raises Problem, also for unknown and repeated ones."""
    given = request.query
    repeated = sorted({name for name in given if len(given.getall(name)) > 1})
    errors = [FieldError(name, "Given more than once.", "query") for name in repeated]
    try:
        loaded: dict[str, Any] = instance_of(schema).load(dict(given))
    except ValidationError as error:
        _break_reference_cycle(error)
        errors += flatten(error.messages, "query")
    if errors:
        raise invalid_fields(errors, INVALID_QUERY)
    return loaded


def _break_reference_cycle(error: ValidationError) -> None:
    """Drop the traceback: marshmallow's frames refer to the error, and would stay until the collector runs."""
    error.__traceback__ = None


def flatten(messages: Any, place: str = "body", at: str = "") -> list[FieldError]:
    """Turn marshmallow's nested messages into a list with one error a field."""
    if isinstance(messages, dict):
        return [
            error
            for name, inner in messages.items()
            for error in flatten(inner, place, at if name == "_schema" else f"{at}.{name}" if at else str(name))
        ]
    return [FieldError(at[:MAX_FIELD_NAME], str(message), place) for message in messages]
