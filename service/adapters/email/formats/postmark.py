"""Postmark: https://postmarkapp.com/developer/user-guide/send-email-with-api

It has no key for repeated requests. Its errors are https://postmarkapp.com/developer/api/overview#error-codes
"""

from __future__ import annotations

from typing import Any

from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Format, Headers, Mail, field, json_body, text_of

ABOUT_THE_MESSAGE = frozenset({300, 406})
"""An invalid request, and an inactive recipient. Every other error is about the account, the sender or the request."""

NOT_AUTHORISED = frozenset({10, 400, 401, 405, 412, 413})
"""The token, the sender's signature, and the state of the account."""


def _body(mail: Mail) -> object:
    return {
        "From": mail.sender.header,
        "To": mail.to,
        "Subject": mail.subject,
        "TextBody": mail.text,
        "Metadata": {"heyday-message": str(mail.id)},
    }


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    code = field(body, "ErrorCode")
    if status != 422 or not isinstance(code, int):
        return None
    if code == 300 and "'From'" in text_of(body, "Message"):
        return Verdict.NOT_AUTHORISED
    if code in ABOUT_THE_MESSAGE:
        return Verdict.REFUSED
    if code == 429:
        return Verdict.THROTTLED
    return Verdict.NOT_AUTHORISED if code in NOT_AUTHORISED else Verdict.UNAVAILABLE


POSTMARK = Format(
    page="https://postmarkapp.com/developer/user-guide/send-email-with-api",
    path="email",
    authenticate=lambda token: {"X-Postmark-Server-Token": token, "Accept": "application/json"},
    body=json_body(_body),
    verdict=_verdict,
    probe="server",
)
