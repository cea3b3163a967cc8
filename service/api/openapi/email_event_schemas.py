"""The JSON schemas of webhooks of email services."""

from __future__ import annotations

from service.api.openapi.schemas import JsonSchema, thing
from service.domain.email_events import EVENT_FORMATS

EMAIL_EVENT_SCHEMAS: dict[str, JsonSchema] = {
    "EmailEventFormat": {"type": "string", "enum": [one.value for one in EVENT_FORMATS]},
    "EmailEventsResult": thing(
        {
            "suppressed": {"type": "integer", "minimum": 0, "description": "Events whose address is suppressed."},
            "ignored": {"type": "integer", "minimum": 0, "description": "All other events."},
        },
        {"suppressed": 1, "ignored": 0},
    ),
}
