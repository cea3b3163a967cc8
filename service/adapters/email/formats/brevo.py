"""Brevo: https://developers.brevo.com/reference/sendtransacemail

It remembers `idempotencyKey` for 15 minutes (https://developers.brevo.com/changelog/email-api-now-supports-idempotency;
another page says 30), and answers a repeated one with `duplicate_parameter`: the first request was taken
(https://developers.brevo.com/docs/heterogenous-versions-batch-emails).
"""

from __future__ import annotations

from typing import Any

from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Format, Headers, Mail, field, json_body, text_of


def _body(mail: Mail) -> object:
    return {
        "sender": {"email": mail.sender.address, **({"name": mail.sender.name} if mail.sender.name else {})},
        "to": [{"email": mail.to}],
        "subject": mail.subject,
        "textContent": mail.text,
        "headers": {"idempotencyKey": str(mail.id)},
        "tags": [f"heyday-{mail.id}"],
    }


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    match field(body, "code"):
        case "duplicate_parameter":
            return Verdict.ACCEPTED
        case "unauthorized" | "permission_denied":
            return Verdict.NOT_AUTHORISED
        case "invalid_parameter" if "sender" in text_of(body, "message"):
            return Verdict.NOT_AUTHORISED
        case "missing_parameter" | "not_enough_credits":
            return Verdict.UNAVAILABLE
    return None


BREVO = Format(
    page="https://developers.brevo.com/reference/sendtransacemail",
    path="v3/smtp/email",
    authenticate=lambda token: {"api-key": token, "Accept": "application/json"},
    body=json_body(_body),
    verdict=_verdict,
    probe="v3/account",
)
