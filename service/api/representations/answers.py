"""Answers of the API: each is declared once, and both its JSON and its schema in the OpenAPI document are made of that.

An answer is a marshmallow schema. apispec's plugin reads its members for the document (see `service.api.openapi`).
`json` does not use marshmallow's `dump`, which takes many times longer (decision 0024).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias

from marshmallow import EXCLUDE, Schema, fields

from service.api.http.query import cursor
from service.api.representations import kinds
from service.api.representations.kinds import JsonSchema

Get: TypeAlias = Callable[[Any], Any]


class Member(fields.Field[Any]):
    """A member of an answer. Its name in JSON is that of the class, in camel case, unless `key` is another.

    `kind` is its JSON schema, or another answer. `of` finds its value: a dotted attribute, or a function; by default
    the attribute of its own name. `many`: an array of that kind; `by_name`: an object whose values are of that kind.
    `optional`: clients cannot count on it; without `of` it is left out unless it is given.
    """

    def __init__(
        self,
        kind: JsonSchema | type[Answer],
        about: str = "",
        *,
        of: str | Get | None = None,
        key: str | None = None,
        null: bool = False,
        many: bool = False,
        by_name: bool = False,
        optional: bool = False,
    ) -> None:
        super().__init__(required=not optional, allow_none=null, data_key=key)
        self.kind, self.about, self.of, self.many, self.by_name = kind, about, of, many, by_name

    def json_schema_of(self, kind: JsonSchema) -> JsonSchema:
        """The JSON schema of the member. `kind` is that of its kind."""
        if self.many:
            kind = {"type": "array", "items": kind}
        if self.by_name:
            kind = {"type": "object", "additionalProperties": kind}
        if self.allow_none:
            kind = _or_null(kind)
        return {**kind, "description": self.about} if self.about else kind

    def getter(self, name: str) -> Get:
        """The function that finds the value of this member, as JSON."""
        of = self.of or name
        get: Get = attrgetter(of) if isinstance(of, str) else of
        if isinstance(self.kind, dict):
            return get
        one = self.kind.json
        if self.many:
            return lambda value: None if (found := get(value)) is None else [one(item) for item in found]
        if self.by_name:
            return lambda value: {key: one(item) for key, item in get(value).items()}
        return lambda value: None if (found := get(value)) is None else one(found)


class Answer(Schema):
    """The base of all answers. Their docstrings are the descriptions in the document."""

    class Meta:
        unknown = EXCLUDE  # clients ignore members that they do not know

    example: ClassVar[Mapping[str, Any]]
    others: ClassVar[JsonSchema | bool | None] = None
    """The schema of members beside the declared ones, where there are some."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Name the member as JSON does."""
        field_obj.data_key = field_obj.data_key or camel_case(field_name)

    @classmethod
    def json(cls, value: Any = None, /, **given: Any) -> dict[str, Any]:
        """The answer for a value, for orjson. A member that is given, as JSON, is not looked for in the value."""
        members, optional = _members(cls)
        if not given:
            return {key: get(value) for key, _, get in members}
        shown = {key: given[name] if name in given else get(value) for key, name, get in members}
        for key, name in optional:
            if name in given:
                shown[key] = given[name]
        return shown


def page(name: str, kind: type[Answer], **more: Member) -> type[Answer]:
    """A page of a listing of these answers, with more members. `name` is that of the component."""
    members = {
        "items": Member(kind, many=True),
        "next_cursor": Member(kinds.TEXT, "What `cursor` of the next page is; null: this is the last.", null=True),
    }
    example = {"items": [kind.example], "nextCursor": None}
    return type(name, (Answer,), {**members, **more, "example": example})


class Part(Answer):
    """The base of those that are no components of their own: the document has them where they are used."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of a page, which has `limit` of them. One row more than that was read to know if there are more."""

    found: Sequence[Any]
    limit: int

    @property
    def items(self) -> Sequence[Any]:
        """The rows of this page."""
        return self.found[: self.limit]

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page, if there is one."""
        return cursor(self.items[-1].id) if len(self.found) > self.limit else None


def camel_case(name: str) -> str:
    """`send_at` is `sendAt`."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


@cache
def _members(answer: type[Answer]) -> tuple[list[tuple[str, str, Get]], list[tuple[str, str]]]:
    """The members that are always there, and the optional ones, each with its key in JSON and its name."""
    always, optional = [], []
    for name, field in answer().fields.items():
        if not isinstance(field, Member) or field.data_key is None:
            raise TypeError(f"{answer.__name__}.{name} is no member")
        if field.required or field.of is not None:
            always.append((field.data_key, name, field.getter(name)))
        else:
            optional.append((field.data_key, name))
    return always, optional


def _or_null(schema: JsonSchema) -> JsonSchema:
    if not isinstance(schema.get("type"), str) or "properties" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    nullable: JsonSchema = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable
