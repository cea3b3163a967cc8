"""The tables of PostgreSQL and of the fake, row by row in one form, so that they can be compared."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from typing import Any, TypeAlias

from service.adapters.postgres.connection import Database
from tests.fakes.rows import Nowhere
from tests.fakes.truth import Truth

Rows: TypeAlias = dict[Hashable, dict[str, Any]]
Tables: TypeAlias = dict[str, Rows]

_KEYS = {
    "users": ("id",),
    "occasion_dates": ("user_id", "occasion"),
    "messages": ("id",),
    "attempts": ("message_id", "number", "outcome"),
    "nodes": ("incarnation",),
    "planning": (),
    "plan_ranges": ("id",),
    "job_runs": ("job", "scheduled_at"),
    "fences": ("name",),
}

_ALL = "select " + ", ".join(f"(select array_agg(t) from {table} t) as {table}" for table in _KEYS)  # noqa: S608
"""Every row of every table in one round trip: it is made after each step."""

_BY_THE_REAL_CLOCK = {"nodes": {"started_at", "beat_at"}, "plan_ranges": {"announced_at"}}
"""Columns that differ between any two databases."""

_NESTED = frozenset({"profile", "dates", "day"})
"""Fields that are columns, or a table, of their own."""

_INFINITY = datetime.max  # noqa: DTZ901 - as the driver has it


async def of_postgres(database: Database) -> Tables:
    """Every row of the database."""
    row = await database.row(_ALL)
    assert row is not None
    return {table: _by_key(table, [_plain(table, dict(one)) for one in row[table] or ()]) for table in _KEYS}


def of_fake(truth: Truth) -> Tables:
    """Every row of the fake."""
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [{**_columns(row.profile), **_columns(row)} for row in truth.users.values()],
        "occasion_dates": [
            {"user_id": row.id, "occasion": code, "date": date, "month_day": date.month * 100 + date.day}
            for row in truth.users.values()
            for code, date in row.profile.dates.items()
        ],
        "messages": [_columns(row) for row in truth.messages.values()],
        "attempts": [_columns(row) for row in truth.attempts.values()],
        "nodes": [_columns(row) for row in truth.nodes.values()],
        "planning": [{"only_row": True, "up_to": truth.planned_up_to, "tzdata": truth.followed_release}],
        "plan_ranges": [
            {"id": number, **_columns(window.day), **_columns(window)}
            for number, (window, _) in truth.plan_ranges.items()
        ],
        "job_runs": [
            {"job": job, "scheduled_at": scheduled_at, "incarnation": incarnation, "started_at": started_at}
            for (job, scheduled_at), (incarnation, started_at) in truth.job_runs.items()
        ],
        "fences": [{"name": name, "number": number} for name, number in truth.fences.items()],
    }
    return {table: _by_key(table, found) for table, found in rows.items()}


def differences(real: Tables, fake: Tables) -> list[str]:
    """What is not the same, a line for each row."""
    found = []
    for table, rows in real.items():
        others = fake[table]
        for key in [*rows, *(key for key in others if key not in rows)]:
            left, right = rows.get(key), others.get(key)
            if left is None or right is None:
                found.append(f"{table} {key}: only {'the fake' if left is None else 'PostgreSQL'} has {left or right}")
            elif left != right:
                columns = ", ".join(
                    f"{name} is {left.get(name)!r} in PostgreSQL and {right.get(name)!r} in the fake"
                    for name in {**left, **right}
                    if left.get(name, ...) != right.get(name, ...)
                )
                found.append(f"{table} {key}: {columns}")
    return found


def _by_key(table: str, rows: list[dict[str, Any]]) -> Rows:
    return {tuple(row[name] for name in _KEYS[table]): row for row in rows}


def _plain(table: str, row: dict[str, Any]) -> dict[str, Any]:
    if table == "nodes":
        row["ended"] = row.pop("ended_at") is not None
    return {name: value for name, value in row.items() if name not in _BY_THE_REAL_CLOCK.get(table, ())}


def _columns(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in type(row).__dataclass_fields__.keys() - _NESTED}
    return {name: _INFINITY if value is Nowhere.NOWHERE else value for name, value in values.items()}
