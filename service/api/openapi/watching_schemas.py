"""The JSON schemas of figures that people watch."""

from __future__ import annotations

from typing import Any

from service.api.openapi.schemas import COUNT, INSTANT, MAYBE_INSTANT, MAYBE_TEXT, JsonSchema, ref, thing

_RATE = {"type": "number", "description": "Seconds of business time in a second: 1 but in a demo."}
_BUSINESS_TIME = {**INSTANT, "description": "Business time."}
_TALLY: dict[str, str] = {
    "planned": "All but the cancelled ones.",
    "waiting": "Ahead, or on their way and not late yet.",
    "sending": "In a call of the email service.",
    "late": "Unsent a minute after their instant, and neither retrying nor held.",
    "retrying": "Waiting for another attempt.",
    "held": "Due, and held.",
    "sent": "Accepted by the email service.",
    "sentLate": "Among those sent: later than a minute after their instant.",
    "failed": "Refused, or all attempts spent.",
    "expired": "Too late to be sent.",
    "unknown": "Nobody knows whether the email service took them.",
    "cancelled": "Not among the planned ones.",
}
_TALLY_EXAMPLE = dict.fromkeys(_TALLY, 0) | {"planned": 42, "sent": 40, "retrying": 2}
_CELL_EXAMPLE: dict[str, Any] = {
    "at": "2026-12-10T03:30:00Z",
    "offset": "+05:30",
    "offsetMinutes": 330,
    "occasion": "birthday",
    "timezones": ["Asia/Colombo", "Asia/Kolkata"],
    **_TALLY_EXAMPLE,
}
_ATTENTION_EXAMPLE: dict[str, Any] = {
    "since": "2026-12-03T09:00:00Z",
    "countedUpTo": 10000,
    "unknown": 1,
    "failed": 3,
    "expired": 0,
    "overdue": 0,
    "overdueSince": None,
    "held": [],
    "circuit": {"state": "closed", "reason": None, "nodes": ["node-1", "node-2"]},
    "away": [{"system": "redis", "reason": "connection refused", "seconds": 3.2, "nodes": ["node-2"]}],
    "nodes": {"living": 2, "silent": [], "died": ["node-3"]},
}
_NAMES = {"type": "array", "items": {"type": "string"}}
_REPORT_EXAMPLE: dict[str, Any] = {
    "version": "0.1.0",
    "tzdata": "2026f",
    "missing": [],
    "lease": {"held": True, "secondsLeft": 5.1},
    "clock": {"skewSeconds": 0.002, "jumps": 0},
    "circuit": {"state": "closed", "reason": None, "seconds": 812.4},
    "outages": [],
    "pool": {"active": 1, "idle": 9, "max": 10, "waiting": 0},
    "actors": {
        "name": "node",
        "kind": "supervisor",
        "state": "running",
        "mailbox": None,
        "restarts": 0,
        "lastError": None,
        "seconds": 812.4,
        "children": [],
    },
}
_NODE_EXAMPLE: dict[str, Any] = {
    "node": "node-1",
    "incarnation": 7,
    "startedAt": "2026-12-10T08:40:12.120000Z",
    "silentSeconds": 0.7,
    "tzdata": "2026f",
    "report": _REPORT_EXAMPLE,
}
_ENDED_EXAMPLE = {"node": "node-3", "incarnation": 5, "endedSeconds": 42, "died": True}

WATCHING_SCHEMAS: dict[str, JsonSchema] = {
    "DayTally": thing({name: {**COUNT, "description": text} for name, text in _TALLY.items()}, _TALLY_EXAMPLE),
    "DayCell": {
        **thing(
            {
                "at": {**INSTANT, "description": "The instant of these greetings."},
                "offset": {"type": "string", "description": "Of the zones at that instant, such as `+05:30`."},
                "offsetMinutes": {"type": "integer", "description": "The same, in minutes east of UTC."},
                "occasion": ref("Occasion"),
                **{name: {**COUNT, "description": text} for name, text in _TALLY.items()},
            },
            _CELL_EXAMPLE,
        ),
        "additionalProperties": {
            "description": "`timezones`, the zones of the cell, or with `by=zone` the one `timezone`.",
            "anyOf": [_NAMES, {"type": "string"}],
        },
    },
    "Attention": thing(
        {
            "since": {**INSTANT, "description": "The ends are those of greetings from this instant on."},
            "countedUpTo": {**COUNT, "description": "A count of this size means that there may be more."},
            "unknown": COUNT,
            "failed": COUNT,
            "expired": COUNT,
            "overdue": {**COUNT, "description": "Due for more than a minute, and no call has begun."},
            "overdueSince": {**MAYBE_INSTANT, "description": "The first instant at which one of them was due."},
            "held": {"type": "array", "items": {"type": "object"}, "description": "The active holds."},
            "circuit": {
                "type": ["object", "null"],
                "description": "The worst circuit of all nodes, its reason, and the nodes that have it.",
            },
            "away": {"type": "array", "items": {"type": "object"}, "description": "The servers that nodes find away."},
            "nodes": {"type": "object", "description": "How many live, whose heartbeats are missing, and which died."},
        },
        _ATTENTION_EXAMPLE,
    ),
    "Day": thing(
        {
            "now": _BUSINESS_TIME,
            "rate": _RATE,
            "date": {"type": "string", "format": "date"},
            "from": {**INSTANT, "description": "The first instant of the day in UTC."},
            "to": {**INSTANT, "description": "The first instant of the next."},
            "cells": {"type": "array", "items": ref("DayCell"), "description": "From the east to the west."},
            "total": ref("DayTally"),
            "byOccasion": {"type": "object", "additionalProperties": ref("DayTally")},
            "attention": ref("Attention"),
        },
        {
            "now": "2026-12-10T09:00:02.120000Z",
            "rate": 1.0,
            "date": "2026-12-10",
            "from": "2026-12-10T00:00:00Z",
            "to": "2026-12-11T00:00:00Z",
            "cells": [_CELL_EXAMPLE],
            "total": _TALLY_EXAMPLE,
            "byOccasion": {"birthday": _TALLY_EXAMPLE},
            "attention": _ATTENTION_EXAMPLE,
        },
    ),
    "WatchedNode": thing(
        {
            "node": {"type": "string"},
            "incarnation": {"type": "integer", "description": "The number of its start."},
            "startedAt": INSTANT,
            "silentSeconds": {"type": "number", "description": "Since its last heartbeat. At 8 s it is ended."},
            "tzdata": {**MAYBE_TEXT, "description": "The release of its zone data."},
            "report": {
                "type": ["object", "null"],
                "description": "What it says of itself; null: nothing lately, or Redis is away.",
            },
        },
        _NODE_EXAMPLE,
    ),
    "EndedNode": thing(
        {
            "node": {"type": "string"},
            "incarnation": {"type": "integer", "description": "The number of its start."},
            "endedSeconds": {**COUNT, "description": "So long ago."},
            "died": {"type": "boolean", "description": "Others ended it, because its heartbeats were missing."},
        },
        _ENDED_EXAMPLE,
    ),
    "Nodes": thing(
        {
            "now": _BUSINESS_TIME,
            "rate": _RATE,
            "items": {"type": "array", "items": ref("WatchedNode")},
            "ended": {"type": "array", "items": ref("EndedNode")},
        },
        {"now": "2026-12-10T09:00:02.120000Z", "rate": 1.0, "items": [_NODE_EXAMPLE], "ended": [_ENDED_EXAMPLE]},
    ),
}
