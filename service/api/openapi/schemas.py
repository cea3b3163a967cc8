"""The answers of the API as JSON schemas, with an example each, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.api.problems import KINDS
from service.domain.messages import Outcome, Status

Shape = dict[str, Any]

ID = {"type": "string", "format": "uuid"}
INSTANT = {"type": "string", "format": "date-time"}
MAYBE_INSTANT = {"type": ["string", "null"], "format": "date-time"}
MAYBE_TEXT = {"type": ["string", "null"]}
COUNT = {"type": "integer", "minimum": 0}

USER_ID = "01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"
MESSAGE_ID = "01937ab0-55d2-7c0f-8a61-0e9b7d2c4f35"
_CURSOR = "AZNvOnwee1KdPipPbI4LEQ"

MESSAGE_EXAMPLE: dict[str, Any] = {
    "id": MESSAGE_ID,
    "userId": USER_ID,
    "occasion": "birthday",
    "localYear": 2026,
    "timezone": "Europe/London",
    "sendAt": "2026-12-10T09:00:00Z",
    "dueAt": "2026-12-10T09:00:00Z",
    "status": "sent",
    "attempts": 1,
    "reason": None,
    "tzdata": "2026f",
    "plannedAt": "2026-12-08T12:00:04.120000Z",
    "endedAt": "2026-12-10T09:00:00.412000Z",
    "redrivenAt": None,
}

TIMELINE_EXAMPLE = [
    {"event": "planned", "at": "2026-12-08T12:00:04.120000Z", "tzdata": "2026f"},
    {"event": "queued", "at": "2026-12-10T09:00:00.011000Z", "node": "node-1"},
    {"event": "claimed", "at": "2026-12-10T09:00:00.032000Z", "node": "node-2"},
    {
        "event": "attempt",
        "at": "2026-12-10T09:00:00.035000Z",
        "number": 1,
        "node": "node-2",
        "outcome": "accepted",
        "statusCode": 200,
        "durationSeconds": 0.371,
        "error": None,
    },
    {"event": "recorded", "at": "2026-12-10T09:00:00.412000Z", "number": 1, "outcome": "accepted"},
    {"event": "sent", "at": "2026-12-10T09:00:00.412000Z", "reason": None},
]


def ref(name: str) -> Shape:
    """A shape that is described under that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(name: str, description: str) -> Shape:
    """Such a shape, or null."""
    return {"anyOf": [ref(name), {"type": "null"}], "description": description}


def occasion(codes: Sequence[str]) -> Shape:
    """The code of an occasion there is."""
    return {"type": "string", "description": "What there is to greet for.", "enum": sorted(codes)}


def thing(properties: Shape, example: object, description: str = "") -> Shape:
    """An object that has all of these properties."""
    shape: Shape = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "examples": [example],
    }
    return {**shape, "description": description} if description else shape


def page(item: str, example: object) -> Shape:
    """A page of a listing."""
    return thing(
        {
            "items": {"type": "array", "items": ref(item)},
            "nextCursor": {**MAYBE_TEXT, "description": "What `cursor` of the next page is; null: this is the last."},
        },
        {"items": [example], "nextCursor": None},
    )


def user(date_fields: list[str]) -> Shape:
    """A user, with the dates of the occasions there are."""
    maybe_date = {"type": ["string", "null"], "format": "date"}
    properties: Shape = {
        "id": ID,
        "firstName": {"type": "string"},
        "lastName": {"type": "string"},
        "email": {"type": "string"},
        "timezone": {"type": "string"},
        **dict.fromkeys(date_fields, maybe_date),
        "locationCity": MAYBE_TEXT,
        "locationCountry": MAYBE_TEXT,
        "createdAt": INSTANT,
        "updatedAt": INSTANT,
    }
    return thing(properties, user_example(date_fields))


def user_input_example(date_fields: list[str]) -> dict[str, Any]:
    """A user as a client sends it."""
    return {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "timezone": "Europe/London",
        **{name: "1815-12-10" if name == "birthdayDate" else None for name in date_fields},
        "locationCity": "London",
        "locationCountry": "United Kingdom",
    }


def user_example(date_fields: list[str]) -> dict[str, Any]:
    """A user as it is answered."""
    return {
        "id": USER_ID,
        **user_input_example(date_fields),
        "createdAt": "2026-11-24T09:30:00Z",
        "updatedAt": "2026-11-24T09:30:00Z",
    }


MESSAGE = thing(
    {
        "id": ID,
        "userId": ID,
        "occasion": {"type": "string"},
        "localYear": {"type": "integer"},
        "timezone": {"type": "string"},
        "sendAt": {**INSTANT, "description": "The instant of the greeting."},
        "dueAt": {**INSTANT, "description": "When to act next: sendAt, or the next attempt."},
        "status": ref("MessageStatus"),
        "attempts": COUNT,
        "reason": {**MAYBE_TEXT, "description": "Why it is where it is, for people."},
        "tzdata": {"type": "string", "description": "Version of the zone data that sendAt was computed with."},
        "plannedAt": INSTANT,
        "endedAt": MAYBE_INSTANT,
        "redrivenAt": MAYBE_INSTANT,
    },
    MESSAGE_EXAMPLE,
)

_EVENT: Shape = {
    "type": "object",
    "description": "Something that happened to a message. What else is known of it depends on the event.",
    "required": ["event", "at"],
    "properties": {
        "event": {
            "type": "string",
            "enum": [
                "planned", "queued", "claimed", "attempt", "recorded", "redriven",
                "sent", "failed", "cancelled", "expired", "unknown",
            ],
        },
        "at": INSTANT,
        "node": MAYBE_TEXT,
        "number": COUNT,
        "outcome": ref("Outcome"),
        "statusCode": {"type": ["integer", "null"]},
        "durationSeconds": {"type": "number", "minimum": 0},
        "error": MAYBE_TEXT,
        "reason": MAYBE_TEXT,
        "tzdata": {"type": "string"},
    },
}  # fmt: skip

_HEALTH: Shape = {
    "status": {"type": "string", "enum": ["ok", "degraded", "unavailable"]},
    "missing": {"type": "array", "items": {"type": "string"}, "description": "What is needed and not there."},
}

SHAPES: dict[str, Shape] = {
    "MessageStatus": {
        "type": "string",
        "description": "Where a message is on its way; `sent`, `failed`, `cancelled`, `expired`, `unknown` end it.",
        "enum": [status.value for status in Status],
    },
    "Outcome": {
        "type": "string",
        "description": "What came of an attempt; `unknown`: the call ended without an answer.",
        "enum": [outcome.value for outcome in Outcome],
    },
    "JobName": {"type": "string", "enum": ["daily", "minute", "recovery"]},
    "ProblemSlug": {"type": "string", "enum": sorted(KINDS)},
    "TimelineEvent": _EVENT,
    "UserPage": page("User", user_example(["birthdayDate", "anniversaryDate"])),
    "Message": MESSAGE,
    "MessagePage": page("Message", MESSAGE_EXAMPLE),
    "MessageTimeline": {
        "allOf": [
            ref("Message"),
            {
                "type": "object",
                "required": ["timeline"],
                "properties": {"timeline": {"type": "array", "items": ref("TimelineEvent")}},
            },
        ],
        "examples": [{**MESSAGE_EXAMPLE, "timeline": TIMELINE_EXAMPLE}],
    },
    "Redriven": thing(
        {"id": ID, "status": {"type": "string", "const": "scheduled"}}, {"id": MESSAGE_ID, "status": "scheduled"}
    ),
    "RedriveResult": thing(
        {
            "dryRun": {"type": "boolean"},
            "matched": {**COUNT, "description": "Messages that fitted when the request came."},
            "redriven": COUNT,
            "remaining": {**COUNT, "description": "More than one request redrives: send it again."},
        },
        {"dryRun": False, "matched": 12, "redriven": 12, "remaining": 0},
    ),
    "ImportResult": {
        "type": "object",
        "description": "One line for each line of the request that is not blank, in order.",
        "required": ["line", "status"],
        "properties": {
            "line": {"type": "integer", "minimum": 1},
            "status": {"type": "integer", "description": "201, or what a single request would have answered."},
            "id": ID,
            "type": {"type": "string"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": ref("FieldError")},
        },
        "examples": [{"line": 1, "status": 201, "id": USER_ID}],
    },
    "JobResult": thing(
        {
            "job": ref("JobName"),
            "result": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        {"job": "daily", "result": {"ranges": 3}},
    ),
    "Liveness": thing({"status": {"type": "string", "const": "ok"}}, {"status": "ok"}),
    "Health": thing(_HEALTH, {"status": "ok", "missing": []}),
    "DetailedHealth": {
        **thing(
            {
                **_HEALTH,
                "node": {"type": "string", "description": "Its id."},
                "outages": {"type": "array", "items": {"type": "object"}},
                "clock": {"type": "object", "description": "Business time, and how far the node's own is from it."},
                "tzdata": {"type": "string"},
                "actors": {"type": "object", "description": "The tree of actors, each with its children."},
            },
            {
                "status": "degraded",
                "missing": ["redis"],
                "node": "node-1",
                "database": {"status": "up", "schemaVersion": 6, "nodes": ["node-1", "node-2"]},
                "redis": {"status": "down", "reason": "connection refused"},
                "outages": [{"system": "redis", "reason": "connection refused", "seconds": 3.2}],
                "clock": {"now": "2026-12-10T09:00:00.120000Z", "skewSeconds": 0.002, "jumps": 0},
                "tzdata": "2026f",
                "actors": {"name": "node", "kind": "supervisor", "state": "running", "children": []},
            },
            "Each server that is looked at is beside these, with `status` `up` or `down` and its figures.",
        ),
        "additionalProperties": True,
    },
    "Metrics": {"type": "string", "examples": ["# TYPE messages_sent_total counter\nmessages_sent_total 42.0\n"]},
    "Document": {"type": "object", "examples": [{"openapi": "3.1.0", "info": {"title": "heyday"}, "paths": {}}]},
    "ProblemKind": thing(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "meaning": {"type": "string"},
        },
        {
            "type": KINDS["not-found"].type,
            "title": KINDS["not-found"].title,
            "status": KINDS["not-found"].status,
            "meaning": KINDS["not-found"].meaning,
        },
    ),
    "FieldError": {
        "type": "object",
        "description": "What is wrong with one value, and where it came in.",
        "required": ["field", "message"],
        "properties": {
            "field": {"type": "string"},
            "message": {"type": "string"},
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the body, as a URI fragment."},
            "parameter": {"type": "string", "description": "The query parameter."},
            "header": {"type": "string", "description": "The header."},
        },
        "examples": [{"field": "firstName", "message": "Expected, and missing.", "pointer": "#/firstName"}],
    },
    "Problem": {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "requestId"],
        "examples": [KINDS["not-found"].example(f"/api/v1/users/{USER_ID}")],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "requestId": {"type": "string"},
            "errors": {"type": "array", "items": ref("FieldError")},
        },
    },
}
