"""An answer is declared once: its JSON and its schema in the document agree."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from apispec import APISpec

from service.api.openapi.plugin import Converter, Plugin
from service.api.representations import kinds
from service.api.representations.answers import Answer, Listed, Member, Part, page


class Petal(Part):
    """A petal."""

    colour = Member(kinds.TEXT)


class FlowerAnswer(Answer):
    """A flower."""

    id = Member(kinds.INTEGER)
    latin_name = Member(kinds.TEXT, "As botanists write it.", null=True, of="names.latin")
    petals = Member(Petal, many=True)
    largest = Member(Petal, null=True)
    by_month = Member(kinds.COUNT, by_name=True, of=lambda flower: {"may": len(flower.petals)})
    shown = Member(kinds.FLAG, optional=True)

    example = {"id": 1}  # noqa: RUF012 - nothing changes it


@dataclass
class Flower:
    """The value of an answer."""

    id: int
    names: SimpleNamespace
    petals: list[SimpleNamespace]
    largest: SimpleNamespace | None = None


ROSE = Flower(7, SimpleNamespace(latin="rosa"), [SimpleNamespace(colour="red")])


def components(answer: type[Answer]) -> dict[str, Any]:
    """The components of a document with this answer."""
    plugin = Plugin()
    spec = APISpec("test", "1", "3.1.0", plugins=[plugin])
    assert isinstance(plugin.converter, Converter)
    plugin.converter.reference(answer)
    schemas: dict[str, Any] = spec.to_dict()["components"]["schemas"]
    return schemas


def test_json_has_the_members_in_camel_case_and_in_order() -> None:
    """A client reads the names of the document."""
    shown = FlowerAnswer.json(ROSE)

    assert list(shown.items()) == [
        ("id", 7),
        ("latinName", "rosa"),
        ("petals", [{"colour": "red"}]),
        ("largest", None),
        ("byMonth", {"may": 1}),
    ]


def test_what_is_given_is_not_looked_for() -> None:
    """Some values are not in the object: who asks knows them."""
    shown = FlowerAnswer.json(ROSE, latin_name=None, shown=True)

    assert (shown["latinName"], shown["shown"]) == (None, True)


def test_the_schema_says_what_the_json_has() -> None:
    """It is made of the same members."""
    flower = components(FlowerAnswer)["Flower"]

    petal = {
        "type": "object",
        "description": "A petal.",
        "required": ["colour"],
        "properties": {"colour": {"type": "string"}},
    }
    assert flower == {
        "type": "object",
        "description": "A flower.",
        "required": ["byMonth", "id", "largest", "latinName", "petals"],
        "properties": {
            "id": {"type": "integer"},
            "latinName": {"type": ["string", "null"], "description": "As botanists write it."},
            "petals": {"type": "array", "items": petal},
            "largest": {"anyOf": [petal, {"type": "null"}]},
            "byMonth": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
            "shown": {"type": "boolean"},
        },
        "examples": [{"id": 1}],
    }


@pytest.mark.parametrize(("limit", "shown", "more"), [(1, 1, True), (2, 2, False), (3, 2, False)])
def test_a_page_has_a_cursor_while_there_is_more(limit: int, shown: int, more: bool) -> None:
    """One row more than the page was read to know it."""
    rows = [SimpleNamespace(**{**vars(ROSE), "id": UUID(int=number)}) for number in range(2)]
    found = page("FlowerPage", FlowerAnswer).json(Listed(rows, limit))

    assert (len(found["items"]), found["nextCursor"] is not None) == (shown, more)
