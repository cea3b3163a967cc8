"""Resend: https://resend.com/docs/api-reference/emails/send-email

It remembers a key for 24 hours: https://resend.com/docs/dashboard/emails/idempotency-keys
A repeated key with another text is 409, and the message waits, as its first request may have been taken.
Its errors are https://resend.com/docs/api-reference/errors
"""

from __future__ import annotations

from typing import Any

from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Format, Headers, Mail, json_body, text_of

NOT_AUTHORISED = frozenset({"missing_api_key", "invalid_api_key", "restricted_api_key", "invalid_access"})
ABOUT_THE_REQUEST = frozenset(
    {"invalid_from_address", "invalid_idempotency_key", "invalid_region", "missing_required_field", "security_error"}
)


def _body(mail: Mail) -> object:
    return {
        "from": mail.sender.header,
        "to": [mail.to],
        "subject": mail.subject,
        "text": mail.text,
        "tags": [{"name": "heyday_message", "value": str(mail.id)}],
    }


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    name, message = text_of(body, "name"), text_of(body, "message")
    if name in NOT_AUTHORISED or "API key is invalid" in message:
        return Verdict.NOT_AUTHORISED
    if name in ABOUT_THE_REQUEST or "`from`" in message:  # a sender with a mistake may be a `validation_error`, too
        return Verdict.UNAVAILABLE
    return None


RESEND = Format(
    page="https://resend.com/docs/api-reference/emails/send-email",
    path="emails",
    authenticate=lambda token: {"Authorization": f"Bearer {token}"},
    body=json_body(_body),
    verdict=_verdict,
    key_header="Idempotency-Key",
)
