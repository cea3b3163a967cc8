"""Reads the tables of PostgreSQL and of the fake in one form, to compare them row by row."""

from __future__ import annotations

import json
from collections.abc import Hashable
from datetime import datetime
from typing import Any, TypeAlias

from service.adapters.postgres.connection import Database
from service.adapters.postgres.occasions import text_document
from service.domain.dates import MonthDay, stored_date
from service.ports import AuditRecord
from tests.fakes.rows import Nowhere, OccasionRecord
from tests.fakes.truth import Truth

Rows: TypeAlias = dict[Hashable, dict[str, Any]]
Tables: TypeAlias = dict[str, Rows]

_KEYS = {
    "users": ("id",),
    "occasion_dates": ("user_id", "occasion"),
    "messages": ("id",),
    "attempts": ("message_id", "number", "outcome"),
    "nodes": ("incarnation",),
    "occasions": ("code",),
    "planning": (),
    "plan_ranges": ("id",),
    "job_runs": ("job", "scheduled_at"),
    "fencing_tokens": ("name",),
    "taken_back": (),
    "audit": ("at", "action", "subject_id"),
    "holds": ("id",),
    "limits": ("name",),
    "suppressions": ("id",),
    "set_aside": ("message_id",),
}

_ALL = "select " + ", ".join(f"(select array_agg(t) from {table} t) as {table}" for table in _KEYS)  # noqa: S608
"""Every row of every table in one round trip, because it runs after each step."""

_NOT_COMPARED = {
    "nodes": {"started_at", "heartbeat_at", "version", "settings"},
    "limits": {"version"},
    "plan_ranges": {"announced_at"},
    "occasions": {"rules_changed_at", "created_at", "updated_at"},
    "audit": {"id"},
    "users": {"change_number", "created_number"},
}
"""Columns that differ between any two databases, by the real clock or a sequence, and those that only people read."""

_NESTED = frozenset({"profile", "dates", "day"})
"""Fields that PostgreSQL has as separate columns or a separate table."""

_RULES = ("rules_version", "replanned_version", "rules_written_by", "rules_written_at", "replaced_rules")

_INFINITY = datetime.max  # noqa: DTZ901 - the driver's value


async def of_postgres(database: Database) -> Tables:
    """Return every row of the database."""
    row = await database.row(_ALL)
    assert row is not None
    return {table: _by_key(table, [_plain(table, dict(one)) for one in row[table] or ()]) for table in _KEYS}


def of_fake(truth: Truth) -> Tables:
    """Return every row of the fake."""
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [
            {**_columns(row.profile), "last_name": row.profile.last_name or "", **_columns(row)}
            for row in truth.users.values()
        ],
        "occasion_dates": [
            {
                "user_id": row.id,
                "occasion": code,
                "date": stored_date(day),
                "year_known": not isinstance(day, MonthDay),
                "month_day": day.month * 100 + day.day,
            }
            for row in truth.users.values()
            for code, day in row.profile.dates.items()
        ],
        "messages": [_columns(row) for row in truth.messages.values()],
        "attempts": [_columns(row) for row in truth.attempts.values()],
        "nodes": [_columns(row) for row in truth.nodes.values()],
        "occasions": [_occasion(row) for row in truth.occasions.values()],
        "planning": [
            {
                "only_row": True,
                "planned_until": truth.planned_until,
                "tzdata": truth.followed_release,
                "send_at": truth.defaults and truth.defaults.send_at,
                "leap_day": truth.defaults and truth.defaults.leap_day,
                **{name: getattr(truth, name) for name in _RULES},
            }
        ],
        "plan_ranges": [
            {"id": number, **_columns(window.day), **_columns(window)}
            for number, (window, _) in truth.plan_ranges.items()
        ],
        "job_runs": [
            {"job": job, "scheduled_at": scheduled_at, "incarnation": incarnation, "started_at": started_at}
            for (job, scheduled_at), (incarnation, started_at) in truth.job_runs.items()
        ],
        "holds": [_columns(row) for row in truth.holds.values()],
        "limits": [
            {name: value for name, value in _columns(row).items() if name != "version"} for row in truth.limits.values()
        ],
        "suppressions": [_columns(row) for row in truth.suppressions.values()],
        "set_aside": [_renamed(_columns(row), id="message_id") for row in truth.set_aside.values()],
        "fencing_tokens": [{"name": name, "token": token} for name, token in truth.fencing_tokens.items()],
        "taken_back": [{"only_row": True, "messages": truth.taken_back}],
        "audit": [_audit(one) for one in truth.audit],
    }
    return {table: _by_key(table, found) for table, found in rows.items()}


def differences(real: Tables, fake: Tables) -> list[str]:
    """Return the differences, one line per row."""
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
    if table == "occasions":
        row["texts"] = json.loads(row["texts"])
    return {name: value for name, value in row.items() if name not in _NOT_COMPARED.get(table, ())}


def _audit(record: AuditRecord) -> dict[str, Any]:
    by = record.by
    return {
        "at": record.at,
        "key_name": by.name,
        "role": by.role,
        "os_user": by.os_user,
        "action": record.action,
        "subject_kind": record.subject_kind,
        "subject_id": record.subject_id,
        "request_id": by.request_id,
    }


def _occasion(row: OccasionRecord) -> dict[str, Any]:
    one = row.occasion
    return {
        "code": one.code,
        "subject": one.default.subject,
        "template": one.default.template(None),
        "template_with_years": one.default.text if one.default.without_years is not None else None,
        "texts": {tag: text_document(text) for tag, text in one.texts.items()},
        "send_at": one.send_at,
        "leap_day": one.leap_day,
        "weekend": one.weekend,
        "offset_days": one.offset_days,
        "active": one.active,
        "active_since": row.active_since,
        "version": row.version,
        "text_version": row.text_version,
        "rules_version": row.rules_version,
        "replan_offsets": list(row.replan_offsets),
    }


def _renamed(row: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}


def _columns(row: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in type(row).__dataclass_fields__.keys() - _NESTED}
    return {name: _INFINITY if value is Nowhere.NOWHERE else value for name, value in values.items()}
