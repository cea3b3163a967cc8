"""The JSON schemas of suppressions."""

from __future__ import annotations

from typing import Any

from service.api.openapi.schemas import ID, INSTANT, MAYBE_TEXT, JsonSchema, page, thing
from service.domain.suppressions import SuppressionReason

_SUPPRESSION: dict[str, Any] = {
    "id": "01937f22-71d0-7c15-9f4e-0b6a2d8c5e33",
    "email": "ada@example.com",
    "reason": "opt_out",
    "source": "preference centre",
    "createdAt": "2026-12-01T10:12:00Z",
}

SUPPRESSION_SCHEMAS: dict[str, JsonSchema] = {
    "Suppression": thing(
        {
            "id": ID,
            "email": {
                **MAYBE_TEXT,
                "description": "Null: its user was erased, or a webhook named it and no user has it.",
            },
            "reason": {"type": "string", "enum": [one.value for one in SuppressionReason]},
            "source": {"type": "string"},
            "createdAt": INSTANT,
        },
        _SUPPRESSION,
    ),
    "SuppressionPage": page("Suppression", _SUPPRESSION),
}
