"""Kinds of members, as JSON schemas: of answers, and of the other components of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

JsonSchema: TypeAlias = dict[str, Any]

ID: JsonSchema = {"type": "string", "format": "uuid"}
INSTANT: JsonSchema = {"type": "string", "format": "date-time"}
TEXT: JsonSchema = {"type": "string"}
COUNT: JsonSchema = {"type": "integer", "minimum": 0}
INTEGER: JsonSchema = {"type": "integer"}
NUMBER: JsonSchema = {"type": "number"}
SECONDS: JsonSchema = {"type": "number", "minimum": 0}
FLAG: JsonSchema = {"type": "boolean"}
OBJECT: JsonSchema = {"type": "object"}


def ref(name: str) -> JsonSchema:
    """A reference to a component of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def enum(words: Iterable[str]) -> JsonSchema:
    """One of these words."""
    return {"type": "string", "enum": [str(word) for word in words]}
