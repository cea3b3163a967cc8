"""apispec's plugin for marshmallow, taught what our fields and answers say of themselves."""

from __future__ import annotations

from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from service.api.representations.answers import Answer, Member, Part
from service.api.representations.kinds import JsonSchema
from service.api.representations.users import UserSchema


class Converter(OpenAPIConverter):
    """Converts schemas to JSON Schema."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_attribute_function(_json_schema_of_field)  # type: ignore[no-untyped-call]  # not annotated there

    def reference(self, answer: type[Answer]) -> JsonSchema:
        """A reference to the component of this answer, which is added if it is new; of an inline one its schema."""
        reference: JsonSchema = self.resolve_nested_schema(answer)  # type: ignore[no-untyped-call]
        return reference

    def schema2jsonschema(self, schema: Schema) -> JsonSchema:
        made: JsonSchema = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if isinstance(schema, Answer):
            made |= {"description": " ".join(text.split())} if (text := type(schema).__doc__) else {}
            made |= {"additionalProperties": schema.others} if schema.others is not None else {}
            made |= {"examples": [schema.example]} if hasattr(schema, "example") else {}
        return made


class Plugin(MarshmallowPlugin):
    """Names components after their schemas."""

    Converter = Converter

    def __init__(self) -> None:
        super().__init__(schema_name_resolver=_name)  # type: ignore[arg-type]  # it may return None, by its docs


def _name(schema: type[Schema] | Schema) -> str | None:
    """The name of a component. None: the schema is written where it is used."""
    kind = schema if isinstance(schema, type) else type(schema)
    if issubclass(kind, Answer):
        return None if issubclass(kind, Part) else kind.__name__.removesuffix("Answer")
    partial = isinstance(schema, Schema) and bool(schema.partial)
    return (
        ("UserChange" if partial else "UserInput")
        if issubclass(kind, UserSchema)
        else kind.__name__.removesuffix("Schema").replace("Input", "Change" if partial else "Input")
    )


def _json_schema_of_field(converter: Converter, field: fields.Field[Any], ret: JsonSchema) -> JsonSchema:
    """The JSON schema that a field of ours declares. A default of null is left out: it means no default."""
    if isinstance(field, Member):
        ret.clear()
        return field.json_schema_of(field.kind if isinstance(field.kind, dict) else converter.reference(field.kind))
    if ret.get("default", ...) is None:
        del ret["default"]
    schema = dict(getattr(field, "json_schema", {}))
    if field.allow_none and schema:
        # apispec has put null among the types.
        ret.pop("type", None)
        return {"anyOf": [schema, {"type": "null"}]}
    return schema
