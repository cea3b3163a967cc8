"""Lines of an import as rows: the user that a line describes, or the problem with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from service.api.http.body import load
from service.api.http.ndjson import MAX_LINE_BYTES, Line
from service.api.http.problems import TOO_LARGE, Problem, invalid_fields
from service.api.occasion_cache import codes
from service.api.representations.users import future_dates, loader, profile_of
from service.domain.planning import PlanningRules
from service.domain.users import Profile

Parse: TypeAlias = Callable[[bytes], Any]
"""Makes a JSON document of a line. Raises Problem."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the import: the user that it describes, or the problem with it.

    `given` has the fields that the line has, as the loader names them. A key of the caller's own that is null is not
    among them: such a line names its user by the address, and says nothing about the key.
    """

    line: int
    profile: Profile | None
    problem: Problem | None
    given: Mapping[str, Any]


def read_row(line: Line, parse_line: Parse, rules: PlanningRules, now: datetime, *, updates: bool = True) -> Row:
    """Check a line. Only with `updates` the row has what was given."""
    known = codes(rules)
    users = loader(known)
    try:
        document = parse_line(_text(line))
        loaded = load(users, document)
        if errors := future_dates(loaded, known, loaded["timezone"], now):
            raise invalid_fields(errors)
    except Problem as problem:
        problem.__traceback__ = None  # its frames refer to earlier rows, and those to this problem
        return Row(line.number, None, problem, {})
    profile = profile_of(loaded, known)
    given = {name: loaded[name] for key, name in users.names.items() if key in document} if updates else {}
    if profile.external_id is None:
        given.pop("external_id", None)
    return Row(line.number, profile, None, given)


def _text(line: Line) -> bytes:
    if line.text is None:
        raise Problem(TOO_LARGE, f"A line has {MAX_LINE_BYTES} bytes at most.")
    return line.text
