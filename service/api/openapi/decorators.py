"""The decorator that describes a handler for the OpenAPI document; the only module that uses aiohttp-apispec.

The decorator stores its notes on the function, and `service.api.openapi.document` reads them through `notes`. A change
of library changes this module alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp_apispec import docs, json_schema, querystring_schema  # type: ignore[import-untyped]  # has no annotations
from marshmallow import Schema

from service.api.http.problems import Kind
from service.api.representations.answers import Answer
from service.domain.roles import Role

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """A response of an operation. `schema` is an answer, or names a component; None: the response has no body."""

    meaning: str
    schema: type[Answer] | str | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """The description of one operation."""

    tag: str
    summary: str
    description: str
    responses: Mapping[int, ResponseSpec]
    problems: tuple[Kind, ...] = ()
    body: Schema | None = None
    body_type: str = "application/json"
    takes_csv: bool = False
    query: Schema | None = None
    headers: tuple[str, ...] = field(default=())
    role: Role | None = None
    webhook: bool = False


def operation(
    tag: str,
    summary: str,
    *,
    responses: Mapping[int, ResponseSpec],
    role: Role | None = None,
    problems: Sequence[Kind] = (),
    body: type[Schema] | None = None,
    body_type: str = "application/json",
    takes_csv: bool = False,
    partial: bool = False,
    query: type[Schema] | None = None,
    headers: Sequence[str] = (),
    webhook: bool = False,
    keeps_response: bool = False,
) -> Callable[[F], F]:
    """Describe a handler; its docstring is the description. `headers` are request headers.

    `takes_csv`: the body may be `text/csv`, too.

    `role` is the least role of a key that may use it. Every route under /api declares one, except a `webhook`: it needs
    no key, and its handler checks who sends it. `keeps_response`: the handler takes the Idempotency-Key and keeps its
    response in the transaction of its work.
    """

    def note(handler: F) -> F:
        noted = docs(
            tags=[tag],
            summary=summary,
            description=inspect.getdoc(handler) or "",
            responses=responses,
            problems=tuple(problems),
            request_headers=tuple(headers),
            body_type=body_type,
            takes_csv=takes_csv,
            role=role,
            webhook=webhook,
            keeps_response=keeps_response,
        )(handler)
        if body is not None:
            noted = json_schema(body(partial=partial))(noted)
        if query is not None:
            noted = querystring_schema(query())(noted)
        documented: F = noted
        return documented

    return note


def notes(handler: Callable[..., Any]) -> Notes | None:
    """The description of a handler; None when it is not part of the document."""
    noted: dict[str, Any] | None = getattr(handler, "__apispec__", None)
    if noted is None:
        return None
    schemas = {given["location"]: given["schema"] for given in noted["schemas"]}
    return Notes(
        tag=noted["tags"][0],
        summary=noted["summary"],
        description=noted["description"],
        responses=noted["responses"],
        problems=noted["problems"],
        body=schemas.get("json"),
        body_type=noted["body_type"],
        takes_csv=noted["takes_csv"],
        query=schemas.get("querystring"),
        headers=noted["request_headers"],
        role=noted["role"],
        webhook=noted["webhook"],
    )


def least_role(handler: Callable[..., Any]) -> Role:
    """The least role of a key that may use this handler. One that declares none is for admin."""
    role: Role | None = getattr(handler, "__apispec__", {}).get("role")
    return role or Role.ADMIN


def keeps_response(handler: Callable[..., Any]) -> bool:
    """True if the handler takes the Idempotency-Key of its request in the transaction of its work."""
    return bool(getattr(handler, "__apispec__", {}).get("keeps_response"))


def takes_query(handler: Callable[..., Any]) -> bool:
    """True if the handler declares query parameters."""
    return _declares(handler, "querystring")


def takes_body(handler: Callable[..., Any]) -> bool:
    """True if the handler declares a body."""
    return _declares(handler, "json")


def is_webhook(handler: Callable[..., Any]) -> bool:
    """True if the handler itself checks who sends the request."""
    return bool(getattr(handler, "__apispec__", {}).get("webhook"))


def _declares(handler: Callable[..., Any], location: str) -> bool:
    return any(given["location"] == location for given in getattr(handler, "__apispec__", {}).get("schemas", ()))
