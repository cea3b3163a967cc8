"""JSON schemas of the responses, each with an example, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.api.http.problems import KINDS
from service.domain.messages import EmailServiceName, Outcome, Status
from service.domain.roles import Role
from service.ports import AuditAction

JsonSchema = dict[str, Any]

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
    "service": "primary",
}

TIMELINE_EXAMPLE = [
    {"event": "planned", "at": "2026-12-08T12:00:04.120000Z", "tzdata": "2026f"},
    {"event": "queued", "at": "2026-12-10T09:00:00.011000Z", "node": "node-1"},
    {"event": "claimed", "at": "2026-12-10T09:00:00.032000Z", "node": "node-2", "textVersion": 1},
    {
        "event": "attempt",
        "at": "2026-12-10T09:00:00.035000Z",
        "number": 1,
        "service": "primary",
        "node": "node-2",
        "outcome": "accepted",
        "statusCode": 200,
        "durationSeconds": 0.371,
        "error": None,
        "providerId": "b7bc2f4a-e38e-4336-af7d-e6c392c2f817",
    },
    {"event": "recorded", "at": "2026-12-10T09:00:00.412000Z", "number": 1, "outcome": "accepted"},
    {"event": "sent", "at": "2026-12-10T09:00:00.412000Z", "reason": None},
]


def ref(name: str) -> JsonSchema:
    """A reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(name: str, description: str) -> JsonSchema:
    """The schema, or null."""
    return {"anyOf": [ref(name), {"type": "null"}], "description": description}


def occasion(codes: Sequence[str]) -> JsonSchema:
    """The code of an occasion there is."""
    return {"type": "string", "description": "What there is to greet for.", "enum": sorted(codes)}


def thing(properties: JsonSchema, example: object, description: str = "") -> JsonSchema:
    """An object that has all of these properties."""
    schema: JsonSchema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "examples": [example],
    }
    return {**schema, "description": description} if description else schema


def page(item: str, example: object) -> JsonSchema:
    """A page of a listing."""
    return thing(
        {
            "items": {"type": "array", "items": ref(item)},
            "nextCursor": {**MAYBE_TEXT, "description": "What `cursor` of the next page is; null: this is the last."},
        },
        {"items": [example], "nextCursor": None},
    )


def user(date_fields: list[str]) -> JsonSchema:
    """A user, with the dates of the occasions there are."""
    maybe_date = {**MAYBE_TEXT, "description": "`YYYY-MM-DD`, or `--MM-DD` where the year is unknown."}
    properties: JsonSchema = {
        "id": ID,
        "externalId": {**MAYBE_TEXT, "description": "The key that the user has in your own system."},
        "firstName": {"type": "string"},
        "lastName": {**MAYBE_TEXT, "description": "Null for people with one name."},
        "email": {"type": "string"},
        "timezone": {"type": "string"},
        "locale": {**MAYBE_TEXT, "description": "A language tag (BCP 47)."},
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
        "externalId": "1042",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "timezone": "Europe/London",
        "locale": "en-GB",
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


_USER_PAGE = page("User", user_example(["birthdayDate", "anniversaryDate"]))
_USER_PAGE["properties"] |= {
    "deleted": {
        "type": "array",
        "items": ref("DeletedUser"),
        "description": "Only with `updatedSince`: users who were deleted.",
    },
    "resumeCursor": {"type": "string", "description": "Only with `updatedSince`: where to go on the next time."},
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
        "service": {
            "type": ["string", "null"],
            "enum": [*(service.value for service in EmailServiceName), None],
            "description": "The email service that took it; null unless it is `sent`, or if an older version sent it.",
        },
    },
    MESSAGE_EXAMPLE,
)

MESSAGE["properties"]["user"] = maybe("User", "Only with `expand=user`; null: erased.")

_MESSAGE_PAGE = page("Message", MESSAGE_EXAMPLE)
_MESSAGE_PAGE["properties"]["total"] = {**COUNT, "description": "Of all pages, where that is cheap to know."}

_EVENT: JsonSchema = {
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
        "service": {"type": "string", "enum": [service.value for service in EmailServiceName]},
        "outcome": ref("Outcome"),
        "statusCode": {"type": ["integer", "null"]},
        "durationSeconds": {"type": "number", "minimum": 0},
        "error": MAYBE_TEXT,
        "providerId": MAYBE_TEXT,
        "reason": MAYBE_TEXT,
        "tzdata": {"type": "string"},
        "textVersion": {"type": ["integer", "null"], "description": "Version of the text; null before there was one."},
    },
}  # fmt: skip

AUDIT_EXAMPLE: dict[str, Any] = {
    "id": "01938c11-0d5e-7f31-b1c4-7a90d35c2e68",
    "at": "2026-12-10T10:15:00.120000Z",
    "key": "support",
    "role": "operate",
    "osUser": None,
    "action": "messages.redriven",
    "subjectKind": "message",
    "subjectId": MESSAGE_ID,
    "requestId": "9f1c0c3e4e6b4d0d8a52f6f3b1a7c2d4",
}

AUDIT_ENTRY = thing(
    {
        "id": ID,
        "at": INSTANT,
        "key": {"type": "string", "description": "The name of the key, or `command line`."},
        "role": ref("Role"),
        "osUser": {**MAYBE_TEXT, "description": "The user of the operating system who ran the command."},
        "action": {"type": "string", "enum": [action.value for action in AuditAction]},
        "subjectKind": {"type": "string"},
        "subjectId": {"type": "string", "description": "An id, a code or a name: never personal data."},
        "requestId": {**MAYBE_TEXT, "description": "The `X-Request-ID` of the request."},
    },
    AUDIT_EXAMPLE,
    "A change of one subject.",
)

_HEALTH: JsonSchema = {
    "status": {"type": "string", "enum": ["ok", "degraded", "unavailable"]},
    "missing": {"type": "array", "items": {"type": "string"}, "description": "What is needed and not there."},
}

SCHEMAS: dict[str, JsonSchema] = {
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
    "UserPage": _USER_PAGE,
    "DeletedUser": thing(
        {"id": ID, "externalId": MAYBE_TEXT, "deletedAt": INSTANT},
        {"id": USER_ID, "externalId": "1042", "deletedAt": "2026-12-01T10:00:00Z"},
    ),
    "Message": MESSAGE,
    "MessagePage": _MESSAGE_PAGE,
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
            "result": {
                "type": "string",
                "enum": ["created", "updated", "unchanged"],
                "description": "Only with `onConflict=update`.",
            },
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
    "Role": {"type": "string", "enum": [role.value for role in Role]},
    "Me": thing(
        {
            "name": {"type": "string", "description": "The name of the key; `no key` on a node without keys."},
            "role": ref("Role"),
        },
        {"name": "billing", "role": "write"},
    ),
    "AuditEntry": AUDIT_ENTRY,
    "AuditPage": page("AuditEntry", AUDIT_EXAMPLE),
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
    "Root": thing(
        {
            "console": {**MAYBE_TEXT, "description": "Null: it is switched off."},
            "docs": {"type": "string"},
            "openapi": {"type": "string"},
            "health": {"type": "string"},
        },
        {"console": "/console", "docs": "/docs", "openapi": "/openapi.json", "health": "/health"},
    ),
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
            "requiredRole": {"type": "string", "description": "With status 403: the least role that may do this."},
            "errors": {"type": "array", "items": ref("FieldError")},
        },
    },
}
