"""The JSON schemas of previews, forecasts and explanations."""

from __future__ import annotations

from typing import Any

from service.api.openapi.hold_schemas import HELD
from service.api.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_TEXT,
    MESSAGE_EXAMPLE,
    MESSAGE_ID,
    TIMELINE_EXAMPLE,
    USER_ID,
    JsonSchema,
    maybe,
    page,
    ref,
    thing,
)
from service.domain.calendar import Rule
from service.domain.messages import Status
from service.reports.eligibility import EXPECTED, LeftOut

_VERDICT: dict[str, Any] = {
    "userId": USER_ID,
    "occasion": "birthday",
    "localYear": 2027,
    "timezone": "Europe/London",
    "sendAt": "2027-12-10T09:00:00Z",
    "rule": "exact",
    "status": "expected",
    "leftOut": None,
    "messageId": None,
    "held": None,
}

_AS_IF_DOWN: JsonSchema = {
    "type": ["object", "null"],
    "description": "Only with `asIfDownFrom`: the cost of the outage. Null: the greeting would be as it is.",
    "required": ["expired", "leavesAt", "lateSeconds"],
    "properties": {
        "expired": {"type": "boolean", "description": "It would have been too late to send."},
        "leavesAt": {**MAYBE_INSTANT, "description": "The end of the outage; null: it would have expired."},
        "lateSeconds": {"type": "number", "minimum": 0},
    },
}

_RECIPIENT = {
    "name": {**MAYBE_TEXT, "description": "Null: the user was erased."},
    "email": MAYBE_TEXT,
    "text": {**MAYBE_TEXT, "description": "As it would be sent now; null where there is none."},
}

VERDICT = thing(
    {
        "userId": ID,
        "occasion": {"type": "string"},
        "localYear": {"type": ["integer", "null"], "description": "Null for what is so in every year."},
        "timezone": {"type": "string"},
        "sendAt": {**MAYBE_INSTANT, "description": "The instant of the greeting; null: the calendar has none."},
        "rule": maybe("Rule", "Why it is that instant; null: it is not what date, zone and rules say by now."),
        "status": maybe("Prospect", "Null: there will be no message."),
        "leftOut": maybe("LeftOut", "Why the user is not greeted; null: they were, or will be."),
        "messageId": {**MAYBE_TEXT, "format": "uuid"},
        "held": HELD,
    },
    _VERDICT,
)

_EXPLAINED: dict[str, Any] = {
    **_VERDICT,
    "localYear": 2026,
    "sendAt": "2026-12-10T09:00:00Z",
    "status": "sent",
    "messageId": MESSAGE_ID,
    "why": "The message was sent (2026-12-10 09:00:00 in Europe/London).",
    "message": {**MESSAGE_EXAMPLE, "timeline": TIMELINE_EXAMPLE},
}

PREVIEW_SCHEMAS: dict[str, JsonSchema] = {
    "Rule": {
        "type": "string",
        "description": "How the instant came of date and zone.",
        "enum": [rule.value for rule in Rule],
    },
    "Prospect": {
        "type": "string",
        "description": "The state of the message; `expected`: planning will make it.",
        "enum": [*(status.value for status in Status), EXPECTED],
    },
    "LeftOut": {
        "type": "string",
        "description": "Why a user is not greeted.",
        "enum": [reason.value for reason in LeftOut],
    },
    "Verdict": {**VERDICT, "properties": {**VERDICT["properties"], **_RECIPIENT, "asIfDown": _AS_IF_DOWN}},
    "PreviewPage": page("Verdict", _VERDICT),
    "Forecast": thing(
        {
            "now": INSTANT,
            "until": INSTANT,
            "backlog": thing(
                {"total": COUNT, "due": COUNT, "queued": COUNT, "sending": COUNT, "toPlan": COUNT},
                {"total": 0, "due": 0, "queued": 0, "sending": 0, "toPlan": 0},
                "What should have left already: due, on its way, and still to be planned.",
            ),
            "total": {**COUNT, "description": "The sum of the minutes."},
            "minutes": {
                "type": "array",
                "items": thing(
                    {
                        "at": INSTANT,
                        "total": COUNT,
                        "occasions": {"type": "object", "additionalProperties": COUNT},
                    },
                    {"at": "2026-12-10T09:00:00Z", "total": 620, "occasions": {"anniversary": 20, "birthday": 600}},
                ),
            },
            "holds": {"type": "array", "items": ref("Hold"), "description": "What is held now. It waits."},
            "ratePerSecond": {"type": ["number", "null"]},
            "waves": {
                "type": ["array", "null"],
                "description": "Times in which messages wait for the rate; null where no rate is set.",
                "items": thing(
                    {"beginsAt": INSTANT, "overAt": INSTANT, "messages": COUNT, "peak": COUNT, "peakAt": INSTANT},
                    {
                        "beginsAt": "2026-12-10T09:00:00Z",
                        "overAt": "2026-12-10T09:00:12.400000Z",
                        "messages": 620,
                        "peak": 620,
                        "peakAt": "2026-12-10T09:00:00Z",
                    },
                ),
            },
        },
        {
            "now": "2026-12-08T12:30:00Z",
            "until": "2026-12-10T12:30:00Z",
            "backlog": {"total": 0, "due": 0, "queued": 0, "sending": 0, "toPlan": 0},
            "total": 620,
            "minutes": [
                {"at": "2026-12-10T09:00:00Z", "total": 620, "occasions": {"anniversary": 20, "birthday": 600}}
            ],
            "holds": [],
            "ratePerSecond": 50,
            "waves": [
                {
                    "beginsAt": "2026-12-10T09:00:00Z",
                    "overAt": "2026-12-10T09:00:12.400000Z",
                    "messages": 620,
                    "peak": 620,
                    "peakAt": "2026-12-10T09:00:00Z",
                }
            ],
        },
    ),
    "Explanation": thing(
        {
            "userId": ID,
            "timezone": {"type": "string"},
            "createdAt": INSTANT,
            "deletedAt": MAYBE_INSTANT,
            "now": INSTANT,
            "plannedUpTo": {**INSTANT, "description": "The instant up to which planning is complete."},
            "days": {
                "type": "array",
                "items": thing(
                    {
                        **VERDICT["properties"],
                        "why": {"type": "string", "description": "Sentences for people."},
                        "message": maybe("MessageTimeline", "Null: there is none."),
                    },
                    _EXPLAINED,
                ),
            },
        },
        {
            "userId": USER_ID,
            "timezone": "Europe/London",
            "createdAt": "2026-11-24T09:30:00Z",
            "deletedAt": None,
            "now": "2026-12-10T12:30:00Z",
            "plannedUpTo": "2026-12-12T12:00:00Z",
            "days": [_EXPLAINED],
        },
    ),
}
