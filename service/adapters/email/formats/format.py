"""A format: how one provider wants a message, and how it says what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from typing import Any
from uuid import UUID

import idna
import orjson
from yarl import URL

from service.adapters.email.answers import Verdict
from service.adapters.email.header_fields import ascii_mailbox, mailbox

MAX_ADDRESS_OCTETS = 254
"""A path of SMTP has 256, with its angle brackets (RFC 5321, 4.5.3.1.3)."""

_LOCAL_PART = re.compile(
    r"""[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\U0010ffff-]+ | "(?:[!#-;=?-\[\]-~] | \\[!-;=?-~])*" """, re.VERBOSE
)
"""A dot-string or a quoted string (RFC 5321, 4.1.2; RFC 6531, 3.3), without spaces and angle brackets. Dots may stand
anywhere, as in addresses of old Japanese mobile phones."""

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+|\[[!-Z^-~]+\]")

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of every message. The domain of `address` is ASCII; `name` may be empty."""

    name: str
    address: str

    @property
    def header(self) -> str:
        """The value of a header `From`: a name in any script is quoted where it has to be."""
        return mailbox(self.name, self.address)

    @property
    def ascii_header(self) -> str:
        """The same in ASCII, the name encoded by RFC 2047."""
        return ascii_mailbox(self.name, self.address)


@dataclass(frozen=True, slots=True)
class Mail:
    """One message for one person. `to` is one address with a domain in ASCII, and `subject` is one line."""

    id: UUID
    sender: Sender
    to: str
    subject: str
    text: str


Sign = Callable[[str, URL, bytes, str], dict[str, str]]
"""Makes the headers that sign a request from its method, its URL, its body and the token. Raises ValueError."""


@dataclass(frozen=True)
class Format:
    """The API of a provider.

    `page` is its documentation. `path` follows the base URL, without those parameters that are `options` for heyday.
    `authenticate` makes the headers of every request from the token. `body` makes the body of a request. `verdict` says
    what the answer means where its status code does not, from the status, the headers and the parsed body. `key_header`
    repeats the id of the message if the provider has such a header, `id_header` holds the provider's own id if its body
    does not. `probe` is a path whose GET needs the token and changes nothing, if every token that may send may ask for
    it. `sign` replaces `authenticate` where each request is signed by itself.
    """

    page: str
    path: str
    body: Callable[[Mail], bytes]
    verdict: Callable[[int, Headers, Any], Verdict | None]
    authenticate: Callable[[str], dict[str, str]] = lambda _: {}
    content_type: str = "application/json"
    key_header: str | None = None
    id_header: str | None = None
    probe: str | None = None
    sign: Sign | None = None
    options: frozenset[str] = frozenset()


def json_body(make: Callable[[Mail], object]) -> Callable[[Mail], bytes]:
    """Make the function that writes what `make` returns as JSON."""
    return lambda mail: orjson.dumps(make(mail))


def field(body: Any, name: str) -> Any:
    """The field of a JSON object; None if the body is no object or has no such field."""
    return body.get(name) if isinstance(body, dict) else None


def text_of(body: Any, name: str) -> str:
    """The text in a field of a JSON object; empty if there is none, or if it is no text."""
    value = field(body, name)
    return value if isinstance(value, str) else ""


def parse_sender(text: str) -> Sender:
    """Parse the value of `HEYDAY_EMAIL_FROM`, which was checked when it was read."""
    name, address = parseaddr(text)
    return Sender(name, ascii_domain(address))


def checked_address(address: str) -> str:
    """The address with its domain in ASCII.

    Raises ValueError for one that no mail server takes, or that a header would show as something else than one address:
    a comma begins another address, a parenthesis a comment.
    """
    found = ascii_domain(address)
    local, _, domain = found.rpartition("@")
    is_one = _LOCAL_PART.fullmatch(local) and _DOMAIN.fullmatch(domain) and found.isprintable()
    if not is_one or len(found.encode()) > MAX_ADDRESS_OCTETS:
        raise ValueError("the address is not one that a mail server takes")
    return found


def ascii_domain(address: str) -> str:
    """The address with its domain as the DNS has it (RFC 5891); unchanged if that is not possible."""
    return address if address.isascii() else _encoded(address)


@lru_cache(maxsize=1024)
def _encoded(address: str) -> str:
    local, at, domain = address.rpartition("@")
    try:
        return local + at + idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return address
