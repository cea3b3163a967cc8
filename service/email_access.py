"""Parses the settings for access to the email service: token, headers, proxy, certificates, sender, mail server.

Each parser takes the text of a variable. It raises ValueError with the text of what was expected.
"""

from __future__ import annotations

import re
import ssl
import tempfile
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr
from urllib.parse import parse_qsl, unquote

import idna
from yarl import URL

from service.environment import Secret, parts_and_host

SMTP_SCHEMES = frozenset({"smtp", "smtps"})
"""The schemes of a URL that is a mail server."""

MAX_ADDRESS_CHARACTERS = 254
"""Characters of an address: a path of SMTP has 256 octets, with its angle brackets (RFC 5321, 4.5.3.1.3)."""

MAX_UNSUBSCRIBE_CHARACTERS = 900
"""Characters of the URL where a person opts out. A line of a header has 998 at most (RFC 5322, 2.1.1)."""

RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the message or to the connection. A setting may not change them."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_REGION = re.compile(r"(?:^|\.)email(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_HEADERS = "lines such as `X-Api-Key: value`, each name once, and none of " + ", ".join(sorted(RESERVED_HEADERS))


def token(text: str) -> Secret:
    """A token, as it is sent in a header."""
    if not _VALUE.fullmatch(text):
        raise ValueError("a token of printable ASCII characters")
    if re.match(r"(bearer|basic) ", text, re.IGNORECASE):
        raise ValueError("the token alone, without the scheme of Authorization before it")
    return Secret(text)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """The key of an account at Amazon, which is the token of SES. `session` belongs to temporary credentials."""

    key_id: str
    secret: str
    session: str | None = None

    @classmethod
    def parse(cls, text: str) -> AwsCredentials:
        """Parse `KEY_ID:SECRET` or `KEY_ID:SECRET:SESSION_TOKEN`. Raises ValueError."""
        key_id, _, rest = text.partition(":")
        secret, _, session = rest.partition(":")
        if not key_id or not secret:
            raise ValueError("an access key such as AKIA…:secret, with :session-token if it is temporary")
        return cls(key_id, secret, session or None)


def aws_region(url: URL) -> str:
    """The region of an endpoint of SES. Raises ValueError."""
    if region := url.query.get("region"):
        return region
    if match := _REGION.search(url.host or ""):
        return match[1]
    raise ValueError("an endpoint such as https://email.eu-west-1.amazonaws.com, or a URL with ?region=eu-west-1")


def headers(text: str) -> Secret:
    """Headers, one on each line."""
    headers_of(text)
    return Secret(text)


def headers_of(text: str) -> dict[str, str]:
    """The headers by their names, as written. Raises ValueError."""
    found: dict[str, str] = {}
    seen = set(RESERVED_HEADERS)
    for line in filter(None, (line.strip() for line in re.split(r"\r?\n", text))):
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name.lower() in seen:
            raise ValueError(_HEADERS)
        seen.add(name.lower())
        found[name] = value
    if not found:
        raise ValueError(_HEADERS)
    return found


def proxy(text: str) -> Secret:
    """The URL of an HTTP proxy."""
    expected = "a URL such as http://user:password@proxy:3128"
    try:
        parts, host = parts_and_host(text)
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query:
        raise ValueError(expected)
    return Secret(text)


def authorities(text: str) -> Secret:
    """Certificates of authorities, in PEM."""
    try:
        tls_context(_ascii(text), None)
    except (ssl.SSLError, ValueError):
        raise ValueError("certificates of authorities in PEM") from None
    return Secret(text)


def client_certificate(text: str) -> Secret:
    """A certificate and its unencrypted private key, in PEM."""
    try:
        tls_context(None, _ascii(text))
    except (ssl.SSLError, ValueError):
        raise ValueError("a certificate and its unencrypted private key in PEM") from None
    return Secret(text)


def _ascii(text: str) -> str:
    if not text or not text.isascii():
        raise ValueError("PEM is ASCII")
    return text


def tls_context(ca: str | None, certificate: str | None) -> ssl.SSLContext:
    """A context that trusts `ca` instead of the system's authorities, and shows `certificate`.

    Raises ssl.SSLError and ValueError.
    """
    context = ssl.create_default_context(cadata=ca)
    if ca is not None and not context.get_ca_certs():
        raise ValueError("no certificate of an authority")
    if certificate is not None:
        # The library reads it from a file only. The file is readable by this user alone, and gone afterwards.
        with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
            file.write(certificate)
            file.flush()
            context.load_cert_chain(file.name, password=_no_password)
    return context


def _no_password() -> str:
    # Without it OpenSSL asks on the terminal.
    raise ValueError("the private key is encrypted")


def sender(text: str) -> str:
    """The sender of every greeting: an address, or a name with an address in angle brackets."""
    expected = "an address such as Heyday <greetings@example.com>"
    name, address = parseaddr(text)
    try:
        local, _, domain = address.rpartition("@")
        Address(display_name=name, username=local, domain=idna.encode(domain, uts46=True).decode())
    except (ValueError, IndexError, idna.IDNAError):
        raise ValueError(expected) from None
    is_whole = text == address or text.endswith(f"<{address}>")
    is_short = len(address) <= MAX_ADDRESS_CHARACTERS
    if not is_whole or not is_short or not local or not local.isascii() or not text.isprintable():
        raise ValueError(expected)
    return text


@dataclass(frozen=True)
class SmtpServer:
    """A mail server. `tls`: encrypted from the first byte; `starttls`: encrypted before the login."""

    host: str
    port: int
    tls: bool
    starttls: bool
    user: str | None
    password: str | None


def smtp_server(text: str) -> SmtpServer:
    """Parse the URL of a mail server: `smtps://`, or `smtp://`, with `?starttls=off` where it has no TLS.

    Raises ValueError.
    """
    expected = "a URL such as smtp://user:password@host:587 or smtps://host, with ?starttls=off if it has no TLS"
    try:
        parts, host = parts_and_host(text)
    except ValueError:
        raise ValueError(expected) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    starttls = options.pop("starttls", "required")
    is_right = parts.scheme in SMTP_SCHEMES and host and not parts.path.strip("/") and not options
    if not is_right or starttls not in {"required", "off"} or (parts.password and not parts.username):
        raise ValueError(expected)
    tls = parts.scheme == "smtps"
    needs_starttls = not tls and starttls == "required"
    return SmtpServer(
        host,
        parts.port or (465 if tls else 587 if needs_starttls else 25),
        tls,
        needs_starttls,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


def html(text: str) -> Secret:
    """A document in HTML. `{text}` in it becomes the greeting."""
    if text.count("{text}") != 1:
        raise ValueError("a document in HTML with {text} once, where the greeting goes")
    return Secret(text)


def unsubscribe(text: str) -> str:
    """A person opts out here: a `mailto:` or `https:` URL. `{message_id}` in it becomes the id of the message."""
    expected = "a URL such as https://example.com/unsubscribe?m={message_id} or mailto:stop@example.com"
    try:
        parts, host = parts_and_host(text)
    except ValueError:
        raise ValueError(expected) from None
    is_url = parts.scheme == "mailto" or (parts.scheme == "https" and host)
    is_short = len(text.replace("{message_id}", "0" * 36)) <= MAX_UNSUBSCRIBE_CHARACTERS
    if not is_url or not is_short or not re.fullmatch(r"[\x21-\x7e]+", text) or re.search(r"[<>,]", text):
        raise ValueError(expected)
    return text
