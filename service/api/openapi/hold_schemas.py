"""The JSON schemas of holds."""

from __future__ import annotations

from typing import Any

from service.api.openapi.schemas import ID, INSTANT, MAYBE_INSTANT, MAYBE_TEXT, JsonSchema, page, thing

_HOLD: dict[str, Any] = {
    "id": "01937f10-2b44-7a90-b1c7-5d0e8f3a6c21",
    "occasion": "birthday",
    "reason": "the text has a mistake",
    "author": "ops",
    "createdAt": "2026-12-10T08:58:03.410000Z",
    "until": "2026-12-10T10:58:03.410000Z",
    "releasedAt": None,
    "releasedBy": None,
    "active": True,
}

HELD: JsonSchema = {
    "anyOf": [
        thing(
            {
                "id": ID,
                "since": INSTANT,
                "until": MAYBE_INSTANT,
                "author": {"type": "string"},
                "reason": {"type": "string"},
            },
            {
                "id": _HOLD["id"],
                "since": _HOLD["createdAt"],
                "until": _HOLD["until"],
                "author": _HOLD["author"],
                "reason": _HOLD["reason"],
            },
        ),
        {"type": "null"},
    ],
    "description": "The hold that keeps the message from leaving; null: there is none.",
}

HOLD_SCHEMAS: dict[str, JsonSchema] = {
    "Hold": thing(
        {
            "id": ID,
            "occasion": {**MAYBE_TEXT, "description": "The occasion that is held; null: everything."},
            "reason": {"type": "string"},
            "author": {"type": "string", "description": "The name of the key, or the user of the command line."},
            "createdAt": INSTANT,
            "until": {**MAYBE_INSTANT, "description": "When it ends; null: when it is released."},
            "releasedAt": MAYBE_INSTANT,
            "releasedBy": MAYBE_TEXT,
            "active": {"type": "boolean", "description": "True while nothing that it covers is sent."},
        },
        _HOLD,
    ),
    "HoldPage": page("Hold", _HOLD),
}
