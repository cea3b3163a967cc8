"""Composes the message of a greeting (RFC 5322). No name, text or address can add a header or a recipient."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from html import escape

from service.adapters.email.formats.format import Sender, ascii_domain
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


def compose(
    greeting: Greeting,
    sender: Sender,
    *,
    unsubscribe: str | None,
    html: str | None = None,
    at: datetime | None = None,
) -> Envelope:
    """The message of a greeting, with the same Message-ID on every attempt.

    `html` is a document whose `{text}` becomes the greeting. It stands beside the plain text (RFC 2046, 5.1.4).
    `at` is its Date, now by this machine's clock without one.
    Raises ValueError for an address that no mail server takes.
    """
    recipient = ascii_domain(greeting.email)
    utf8 = not recipient.isascii()
    local, _, domain = recipient.rpartition("@")
    if not local or not domain.isascii() or not recipient.isprintable() or re.search(r"[\s<>]", recipient):
        raise ValueError("the address is not one that a mail server takes")
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    message["From"] = Address(display_name=sender.name, addr_spec=sender.address)
    message["To"] = Address(username=_unquoted(local), domain=domain)
    message["Subject"] = _one_line(greeting.subject)
    message["Date"] = format_datetime(at or datetime.now(UTC))
    message["Auto-Submitted"] = "auto-generated"
    # The library would encode what is too long for a line. These two are ASCII, and must stay as they are.
    first = f"Message-ID: <{greeting.id}@{sender.address.rpartition('@')[2]}>\r\n"
    if unsubscribe is not None:
        first += f"List-Unsubscribe: <{unsubscribe.replace('{message_id}', str(greeting.id))}>\r\n"
    # Seven bits in every case: no server may change a byte of it.
    message.set_content(greeting.text, charset="utf-8", cte=_encoding(greeting.text))
    if html is not None:
        document = html.replace("{text}", escape(greeting.text).replace("\n", "<br>\n"))
        message.add_alternative(document, subtype="html", charset="utf-8", cte=_encoding(document))
    content = _LINE_WITH_DOT.sub(b"..", _LINE_END.sub(b"\r\n", first.encode() + message.as_bytes()))
    end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
    return Envelope(sender.address, recipient, content + end, utf8)


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _unquoted(local: str) -> str:
    """The local part without quotes: the library adds them where they have to be."""
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if len(local) > 1 and local[0] == local[-1] == '"' else local


def _encoding(text: str) -> str:
    """Base64 for scripts of which quoted-printable would leave nothing to read."""
    others = sum(1 for one in text if not one.isascii())
    return "base64" if others * 6 > len(text) else "quoted-printable"
