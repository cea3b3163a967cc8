"""Components of the OpenAPI document that no answer declares.

Problem documents and the result lines of imports have writers of their own (decision 0024).
"""

from __future__ import annotations

from collections.abc import Sequence

from service.api.http.problems import KINDS
from service.api.representations import kinds
from service.api.representations.examples import USER_ID
from service.api.representations.kinds import JsonSchema
from service.domain.calendar import Rule
from service.domain.email_events import EVENT_FORMATS
from service.domain.messages import Outcome, Status
from service.domain.roles import Role
from service.reports.eligibility import EXPECTED, LeftOut


def words(occasions: Sequence[str]) -> dict[str, JsonSchema]:
    """The components that are a word of a list."""
    return {
        "Occasion": {**kinds.enum(sorted(occasions)), "description": "What there is to greet for."},
        "MessageStatus": {
            **kinds.enum(Status),
            "description": "Where a message is on its way; `sent`, `failed`, `cancelled`, `expired`, `unknown` end it.",
        },
        "Outcome": {
            **kinds.enum(Outcome),
            "description": "What came of an attempt; `unknown`: the call ended without an answer.",
        },
        "Rule": {**kinds.enum(Rule), "description": "How the instant came of date and zone."},
        "Prospect": {
            **kinds.enum([*Status, EXPECTED]),
            "description": "The state of the message; `expected`: planning will make it.",
        },
        "LeftOut": {**kinds.enum(LeftOut), "description": "Why a user is not greeted."},
        "JobName": kinds.enum(("daily", "minute", "recovery")),
        "Role": kinds.enum(Role),
        "EmailEventFormat": kinds.enum(EVENT_FORMATS),
        "ProblemSlug": kinds.enum(sorted(KINDS)),
    }


OTHERS: dict[str, JsonSchema] = {
    "ImportResult": {
        "type": "object",
        "description": "One line for each line of the request that is not blank, in order.",
        "required": ["status"],
        "properties": {
            "line": {"type": "integer", "minimum": 1, "description": "Absent in a result of the whole import."},
            "status": {"type": "integer", "description": "201, or what a single request would have answered."},
            "id": kinds.ID,
            "result": {
                "type": "string",
                "enum": ["created", "updated", "unchanged"],
                "description": "Only with `onConflict=update`.",
            },
            "type": kinds.TEXT,
            "detail": kinds.TEXT,
            "errors": {"type": "array", "items": kinds.ref("FieldError")},
        },
        "examples": [{"line": 1, "status": 201, "id": USER_ID}],
    },
    "Metrics": {"type": "string", "examples": ["# TYPE messages_sent_total counter\nmessages_sent_total 42.0\n"]},
    "Document": {**kinds.OBJECT, "examples": [{"openapi": "3.1.0", "info": {"title": "heyday"}, "paths": {}}]},
    "FieldError": {
        "type": "object",
        "description": "What is wrong with one value, and where it came in.",
        "required": ["field", "message"],
        "properties": {
            "field": kinds.TEXT,
            "message": kinds.TEXT,
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
            "title": kinds.TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": kinds.TEXT,
            "instance": kinds.TEXT,
            "requestId": kinds.TEXT,
            "requiredRole": {"type": "string", "description": "With status 403: the least role that may do this."},
            "errors": {"type": "array", "items": kinds.ref("FieldError")},
        },
    },
}
"""The schemas that no answer declares."""
