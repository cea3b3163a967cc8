"""SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send

It has no key for repeated requests. Its errors are
https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors
"""

from __future__ import annotations

from typing import Any

from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Format, Headers, Mail, field, json_body, text_of


def _body(mail: Mail) -> object:
    return {
        "personalizations": [{"to": [{"email": mail.to}]}],
        "from": {"email": mail.sender.address, **({"name": mail.sender.name} if mail.sender.name else {})},
        "subject": mail.subject,
        "content": [{"type": "text/plain", "value": mail.text}],
        "custom_args": {"heyday_message": str(mail.id)},
    }


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    if status in {406, 451}:  # a header that we do not send, and where the account may keep data
        return Verdict.UNAVAILABLE
    errors = field(body, "errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if status == 401 and "credits" in text_of(first, "message"):
        return Verdict.UNAVAILABLE
    # Only the address is the person's. Sender, subject and content are ours.
    named = field(first, "field")
    if status == 400 and isinstance(named, str) and not named.startswith("personalizations"):
        return Verdict.UNAVAILABLE
    return None


SENDGRID = Format(
    page="https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send",
    path="v3/mail/send",
    authenticate=lambda token: {"Authorization": f"Bearer {token}", "Accept": "application/json"},
    body=json_body(_body),
    verdict=_verdict,
    id_header="X-Message-Id",
    probe="v3/scopes",
)
