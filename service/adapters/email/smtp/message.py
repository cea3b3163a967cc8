"""Composes the message of a greeting (RFC 5322). No name, text or address can add a header or a recipient."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from service.adapters.email.formats.format import Sender, checked_address
from service.adapters.email.header_fields import mailbox_field, text_field
from service.ports import Greeting

_LINE_WITH_DOT = re.compile(rb"(?m)^\.")
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message for one recipient. `content` ends with the final dot. `utf8`: it needs SMTPUTF8 (RFC 6531)."""

    sender: str
    recipient: str
    content: bytes
    utf8: bool


def compose(greeting: Greeting, sender: Sender, *, unsubscribe: str | None, html: str | None = None) -> Envelope:
    """The message of a greeting, with the same Message-ID on every attempt.

    `html` is a document whose `{text}` becomes the greeting. It stands beside the plain text (RFC 2046, 5.1.4).
    Its Date is now, by this machine's clock.
    Raises ValueError for an address that no mail server takes.
    """
    recipient = checked_address(greeting.email)
    # Written here and not by the library, which would decode encoded words in them, or encode what is too long.
    fields = [
        f"Message-ID: <{greeting.id}@{sender.address.rpartition('@')[2]}>\r\n",
        mailbox_field("From", sender.name, sender.address),
        f"To: {recipient}\r\n",  # beyond ASCII as RFC 6532 has it
        text_field("Subject", greeting.subject),
        f"Date: {format_datetime(datetime.now(UTC))}\r\n",
        "Auto-Submitted: auto-generated\r\n",
    ]
    if unsubscribe is not None:
        fields.append(f"List-Unsubscribe: <{unsubscribe.replace('{message_id}', str(greeting.id))}>\r\n")
    message = EmailMessage(policy=SMTP)
    # Seven bits in every case: no server may change a byte of it.
    message.set_content(greeting.text, charset="utf-8", cte=_encoding(greeting.text))
    if html is not None:
        document = html.replace("{text}", escape(greeting.text).replace("\n", "<br>\n"))
        message.add_alternative(document, subtype="html", charset="utf-8", cte=_encoding(document))
    content = _LINE_WITH_DOT.sub(b"..", _LINE_END.sub(b"\r\n", "".join(fields).encode() + message.as_bytes()))
    end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
    return Envelope(sender.address, recipient, content + end, not recipient.isascii())


def _encoding(text: str) -> str:
    """Base64 for scripts of which quoted-printable would leave nothing to read."""
    others = sum(1 for one in text if not one.isascii())
    return "base64" if others * 6 > len(text) else "quoted-printable"
