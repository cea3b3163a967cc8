"""The table of all events in docs/reference/logs.md has every event that the code logs, with its level."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.docs.test_documents import ROOT, rows_of

PAGE = "docs/reference/logs.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

NOT_LOGGED = {"API_KEYS", "EMAIL_FROM", "EMAIL_TOKEN", "errorstats"}
"""First arguments of methods with such a name that do not log."""

DESCRIBED_ABOVE = {"http_request"}
"""Events that the page describes above the table, because their level varies."""


class Event(NamedTuple):
    """An event as the code logs it."""

    name: str
    level: str
    fields: frozenset[str]


@cache
def logged() -> tuple[Event, ...]:
    """Return each call of a logger whose event is a constant."""
    paths = [path for top in ("service", "actors") for path in (ROOT / top).rglob("*.py")]
    return tuple(event for path in paths for event in events_of(path))


def events_of(path: Path) -> Iterator[Event]:
    """Yield the events that one module logs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=level),
                args=[ast.Constant(value=str(name)), *_],
                keywords=keywords,
            ) if level in LEVELS and name not in NOT_LOGGED | DESCRIBED_ABOVE:
                fields = frozenset(one.arg for one in keywords if one.arg)
                yield Event(name, "error" if level == "exception" else level, fields)


def listed() -> dict[str, tuple[str, str]]:
    """Return level and fields of each event in the table."""
    found = {}
    for row in rows_of(PAGE):
        if len(row) == 4 and row[1] in LEVELS:
            for name in row[0].split(", "):
                found[name.strip("`")] = (row[1], row[2])
    return found


def test_every_event_that_is_logged_is_in_the_table_with_its_level() -> None:
    """An operator looks up the event of a line."""
    table = listed()
    events = logged()

    assert len(events) > 60
    wrong = {(event.name, event.level) for event in events if table.get(event.name, ("",))[0] != event.level}
    assert wrong == set()


def test_every_event_in_the_table_is_logged() -> None:
    """A search for an event that does not exist finds nothing, which looks like no problem."""
    assert sorted(listed().keys() - {event.name for event in logged()}) == []


def test_every_field_of_an_event_is_in_the_table() -> None:
    """Log queries use the names of fields."""
    table = listed()

    missing = {
        (event.name, field)
        for event in logged()
        for field in event.fields
        if f"`{field}`" not in table.get(event.name, ("", ""))[1]
    }
    assert missing == set()


def test_every_event_has_a_name_in_snake_case() -> None:
    """One form of names makes events searchable."""
    assert [event.name for event in logged() if not event.name.replace("_", "").islower()] == []
