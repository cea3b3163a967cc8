"""Says beside each handler what the OpenAPI document will say of it: the one module that knows aiohttp-apispec.

Its decorators leave their notes on the function; `actors.api.openapi` reads them back through `notes`. Should the
library go, this module is all that changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp_apispec import docs, json_schema, querystring_schema  # type: ignore[import-untyped]  # has no annotations
from marshmallow import Schema

from actors.api.problems import Kind

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of an operation: `shape` names a component of the document; None: it has no body."""

    meaning: str
    shape: str | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """What is known about one operation."""

    tag: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    problems: tuple[Kind, ...] = ()
    body: Schema | None = None
    body_type: str = "application/json"
    query: Schema | None = None
    headers: tuple[str, ...] = field(default=())


def operation(
    tag: str,
    summary: str,
    *,
    answers: Mapping[int, Answer],
    problems: Sequence[Kind] = (),
    body: type[Schema] | None = None,
    body_type: str = "application/json",
    partial: bool = False,
    query: type[Schema] | None = None,
    headers: Sequence[str] = (),
) -> Callable[[F], F]:
    """Note all this, with the handler's docstring as description. `headers` are those of the request."""

    def note(handler: F) -> F:
        noted = docs(
            tags=[tag],
            summary=summary,
            description=inspect.getdoc(handler) or "",
            answers=answers,
            problems=tuple(problems),
            request_headers=tuple(headers),
            body_type=body_type,
        )(handler)
        if body is not None:
            noted = json_schema(body(partial=partial))(noted)
        if query is not None:
            noted = querystring_schema(query())(noted)
        documented: F = noted
        return documented

    return note


def notes(handler: Callable[..., Any]) -> Notes | None:
    """What was noted on a handler; None: it is not part of the document."""
    noted: dict[str, Any] | None = getattr(handler, "__apispec__", None)
    if noted is None:
        return None
    schemas = {given["location"]: given["schema"] for given in noted["schemas"]}
    return Notes(
        tag=noted["tags"][0],
        summary=noted["summary"],
        description=noted["description"],
        answers=noted["answers"],
        problems=noted["problems"],
        body=schemas.get("json"),
        body_type=noted["body_type"],
        query=schemas.get("querystring"),
        headers=noted["request_headers"],
    )
