"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages

The base URL has the version and the sending domain, `https://api.mailgun.net/v3/mg.example.com`; in the EU the host is
`api.eu.mailgun.net`. It has no key for repeated requests. Its errors are
https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from service.adapters.email.answers import Verdict, basic
from service.adapters.email.formats.format import Format, Headers, Mail, text_of

_ABOUT_THE_ACCOUNT = re.compile(r"""^['"`]?from\b['"`]? parameter|for test purposes only|not allowed to send""")
"""Errors about the sender or the account, not about the recipient: an invalid or missing sender, a test account."""


def _body(mail: Mail) -> bytes:
    fields = {
        "from": mail.sender.header,
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "v:heyday-message": str(mail.id),
    }
    return urlencode(fields).encode()


def _verdict(status: int, headers: Headers, body: Any) -> Verdict | None:
    if status == 400 and _ABOUT_THE_ACCOUNT.search(text_of(body, "message")):
        return Verdict.NOT_AUTHORISED
    return None


MAILGUN = Format(
    page="https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages",
    path="messages",
    authenticate=lambda token: {"Authorization": basic("api", token)},
    body=_body,
    verdict=_verdict,
    content_type="application/x-www-form-urlencoded",
)
