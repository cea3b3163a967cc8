"""The JSON schemas of occasions."""

from __future__ import annotations

from typing import Any

from service.api.openapi.schemas import ID, INSTANT, MAYBE_TEXT, JsonSchema, ref, thing
from service.domain.calendar import MAX_OFFSET_DAYS, LeapDay, Weekend

_TEXT: dict[str, Any] = {
    "subject": "Alles Gute",
    "text": "Hallo {first_name}, alles Gute zum {years}. Geburtstag",
    "textWithoutYears": "Hallo {first_name}, alles Gute zum Geburtstag",
}

_OCCASION: dict[str, Any] = {
    "code": "birthday",
    "subject": "Happy birthday",
    "text": "Hey, {full_name} it's your birthday",
    "textWithoutYears": None,
    "texts": {"de": _TEXT},
    "sendAt": None,
    "leapDay": None,
    "weekend": "keep",
    "offsetDays": 0,
    "active": True,
    "textVersion": 2,
    "createdAt": "2026-11-24T09:30:00Z",
    "updatedAt": "2026-12-01T10:00:00Z",
}

OCCASION_SCHEMAS: dict[str, JsonSchema] = {
    "OccasionText": {
        "type": "object",
        "required": ["text"],
        "properties": {
            "subject": {**MAYBE_TEXT, "description": "null: the subject of the default text."},
            "text": {"type": "string"},
            "textWithoutYears": {
                **MAYBE_TEXT,
                "description": "The text for dates whose year is unknown. A text that uses `{years}` needs it.",
            },
        },
        "additionalProperties": False,
        "examples": [_TEXT],
    },
    "OccasionDetails": thing(
        {
            "code": {"type": "string"},
            "subject": {"type": "string", "description": "For email services that send one. Without `{years}`."},
            "text": {
                "type": "string",
                "description": "The default text. `{full_name}`, `{first_name}`, `{last_name}` and `{years}` are "
                "replaced; `{{` and `}}` are braces.",
            },
            "textWithoutYears": {
                **MAYBE_TEXT,
                "description": "The text for dates whose year is unknown. A text that uses `{years}` needs it.",
            },
            "texts": {
                "type": "object",
                "additionalProperties": ref("OccasionText"),
                "description": "Texts by language tag (BCP 47).",
            },
            "sendAt": {**MAYBE_TEXT, "description": "Local time of day; null: HEYDAY_SEND_AT."},
            "leapDay": {"enum": [*LeapDay, None], "description": "null: HEYDAY_LEAP_DAY."},
            "weekend": {"type": "string", "enum": list(Weekend), "description": "What a Saturday or Sunday becomes."},
            "offsetDays": {
                "type": "integer",
                "minimum": -MAX_OFFSET_DAYS,
                "maximum": MAX_OFFSET_DAYS,
                "description": "Days before (below 0) or after the date.",
            },
            "active": {"type": "boolean", "description": "false: nothing is planned or sent."},
            "textVersion": {"type": "integer", "description": "Grows with each change of a text. Messages keep it."},
            "createdAt": INSTANT,
            "updatedAt": INSTANT,
        },
        _OCCASION,
    ),
    "OccasionList": thing({"items": {"type": "array", "items": ref("OccasionDetails")}}, {"items": [_OCCASION]}),
    "RenderedOccasion": thing(
        {
            "code": {"type": "string"},
            "textVersion": {"type": "integer"},
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["language", "subject", "text", "chosen"],
                    "properties": {
                        "language": {**MAYBE_TEXT, "description": "null: the default text."},
                        "subject": {"type": "string"},
                        "text": {"type": "string"},
                        "chosen": {"type": "boolean", "description": "The user gets this one."},
                    },
                },
            },
        },
        {
            "code": "birthday",
            "textVersion": 2,
            "items": [
                {
                    "language": None,
                    "subject": "Happy birthday",
                    "text": "Hey, Ada Lovelace it's your birthday",
                    "chosen": True,
                }
            ],
        },
    ),
    "TestSendResult": thing(
        {
            "idempotencyKey": ID,
            "subject": {"type": "string"},
            "text": {"type": "string"},
            "outcome": ref("Outcome"),
            "statusCode": {"type": ["integer", "null"]},
            "durationSeconds": {"type": "number", "minimum": 0},
            "error": MAYBE_TEXT,
            "providerId": MAYBE_TEXT,
        },
        {
            "idempotencyKey": "3f0cbb0e-64ac-4d4c-9a3c-3c1f3a4ed6a1",
            "subject": "Happy birthday",
            "text": "Hey, Ada Lovelace it's your birthday",
            "outcome": "accepted",
            "statusCode": 200,
            "durationSeconds": 0.213,
            "error": None,
            "providerId": None,
        },
    ),
}
