"""The settings of one email service: the primary one (HEYDAY_EMAIL_*) or the fallback (HEYDAY_EMAIL_FALLBACK_*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from yarl import URL

from service import email_access
from service.domain.email_formats import EmailFormat, keys_last
from service.domain.messages import EmailServiceName
from service.environment import Environment, Rate, Secret, member_of, rate, url

FALLBACK = "EMAIL_FALLBACK"
"""The beginning of the names of the fallback's variables."""

SMTP_CONCURRENCY = 20
"""Connections of a node to a mail server, if no other number is set. Postfix takes 50 of one client by default."""


class UnknownOutcome(StrEnum):
    """The policy for a message whose attempt ended without an answer."""

    RESEND = "resend"
    """It is sent again under the same Idempotency-Key."""
    HOLD = "hold"
    """It waits for a person in state `unknown`."""


@dataclass(frozen=True)
class EmailServiceSettings:
    """One email service."""

    name: EmailServiceName
    url: Secret
    format: EmailFormat
    sender: str | None
    token: Secret | None
    headers: Secret | None
    proxy: Secret | None
    ca: Secret | None
    client_certificate: Secret | None
    unsubscribe: str | None
    html: Secret | None
    concurrency: int
    rate: Rate | None
    unknown_outcome: UnknownOutcome
    idempotency_lasts: timedelta

    @property
    def prefix(self) -> str:
        """The beginning of the names of its variables, after HEYDAY_."""
        return "EMAIL" if self.name is EmailServiceName.PRIMARY else FALLBACK

    def calls(self, concurrency: int) -> int:
        """Calls that a node may have in flight for a limit of `concurrency`; fewer to a mail server as fallback."""
        few = self.name is EmailServiceName.FALLBACK and is_smtp(self.url)
        return min(SMTP_CONCURRENCY, concurrency) if few else concurrency


def read_fallback(
    reader: Environment,
    primary: EmailServiceSettings,
    *,
    unknown_outcome: UnknownOutcome | None,
    idempotency_lasts: timedelta | None,
) -> EmailServiceSettings | None:
    """Read the fallback, with the sender and the bounds of the primary service. None without its URL.

    `unknown_outcome` and `idempotency_lasts` are what was set for both, None if nothing was. A service that forgets a
    key sooner, or knows none, has values of its own.
    """
    address = reader.secret(f"{FALLBACK}_URL", email_url)
    email_format = reader.value(f"{FALLBACK}_FORMAT", member_of(EmailFormat), EmailFormat.DEFAULT)
    smtp = address is not None and is_smtp(address)
    remembered = None if smtp else keys_last(email_format)
    own_sender = reader.value(f"{FALLBACK}_FROM", email_access.sender, None)
    read = EmailServiceSettings(
        name=EmailServiceName.FALLBACK,
        url=address or Secret(),
        format=email_format,
        sender=own_sender or primary.sender,
        token=reader.secret(f"{FALLBACK}_TOKEN", email_access.token),
        headers=reader.secret(f"{FALLBACK}_HEADERS", email_access.headers),
        proxy=reader.secret(f"{FALLBACK}_PROXY", email_access.proxy),
        ca=reader.secret(f"{FALLBACK}_CA", email_access.authorities),
        client_certificate=reader.secret(f"{FALLBACK}_CLIENT_CERTIFICATE", email_access.client_certificate),
        unsubscribe=primary.unsubscribe,
        html=primary.html,
        concurrency=SMTP_CONCURRENCY if smtp else primary.concurrency,
        rate=reader.value(f"{FALLBACK}_RATE", rate, None),
        unknown_outcome=unknown_outcome or default_outcome(remembered),
        idempotency_lasts=min(idempotency_lasts or timedelta.max, remembered or timedelta(hours=24)),
    )
    if address is not None:
        refuse_contradictions(read, reader)
        return read
    given = {
        "FORMAT": email_format is not EmailFormat.DEFAULT,
        "FROM": own_sender,
        "TOKEN": read.token,
        "HEADERS": read.headers,
        "PROXY": read.proxy,
        "CA": read.ca,
        "CLIENT_CERTIFICATE": read.client_certificate,
        "RATE": read.rate,
    }
    for name in (name for name, value in given.items() if value):
        reader.contradiction(f"HEYDAY_{FALLBACK}_{name} has no effect: expected HEYDAY_{FALLBACK}_URL with it")
    return None


def default_outcome(remembered: timedelta | None) -> UnknownOutcome:
    """The policy for a service that remembers a key for so long; None: it knows no key."""
    return UnknownOutcome.RESEND if remembered else UnknownOutcome.HOLD


def refuse_contradictions(service: EmailServiceSettings, reader: Environment) -> None:
    """Add an error for settings of an email service that do not fit each other."""
    if is_smtp(service.url):
        _refuse_for_smtp(service, reader)
        return
    prefix = f"HEYDAY_{service.prefix}"
    address = urlsplit(service.url)
    in_url = address.username is not None or address.password is not None
    headers = email_access.headers_of(service.headers) if service.headers else {}
    given = {
        f"the name and password in {prefix}_URL": in_url,
        f"{prefix}_TOKEN": service.token is not None,
        f"the Authorization in {prefix}_HEADERS": any(name.lower() == "authorization" for name in headers),
    }
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        reader.contradiction(f"{' and '.join(named)} are all credentials of the email service: expected one of them")
    if service.format is EmailFormat.DEFAULT:
        return
    name = f"{prefix}_FORMAT={service.format}"
    if service.token is None:
        reader.error(f"{service.prefix}_TOKEN", "", f"the key of the provider, because of {name}")
    if service.sender is None:
        reader.error(f"{service.prefix}_FROM", "", f"the sender of every greeting, because of {name}")
    if service.format is EmailFormat.SES:
        _refuse_for_ses(service, reader, f"because of {name}")
    remembered = keys_last(service.format)
    if remembered and service.idempotency_lasts > remembered:
        reader.contradiction(
            f"HEYDAY_IDEMPOTENCY_LASTS={service.idempotency_lasts.total_seconds():g}s: expected at most "
            f"{remembered.total_seconds():g}s, because {name} remembers a key no longer"
        )


def _refuse_for_ses(service: EmailServiceSettings, reader: Environment, why: str) -> None:
    """Add an error for a key and a URL with which no request can be signed. What is missing has an error already."""
    try:
        if service.token:
            email_access.AwsCredentials.parse(service.token)
    except ValueError as error:
        reader.error(f"{service.prefix}_TOKEN", "***", f"{error}, {why}")
    try:
        if service.url:
            email_access.aws_region(URL(service.url))
    except ValueError as error:
        reader.error(f"{service.prefix}_URL", "***", f"{error}, {why}")


def _refuse_for_smtp(service: EmailServiceSettings, reader: Environment) -> None:
    """Add an error for settings that a mail server needs and lacks, and for those it cannot use."""
    prefix = f"HEYDAY_{service.prefix}"
    if service.sender is None:
        reader.error(
            f"{service.prefix}_FROM", "", f"the sender of every greeting, because {prefix}_URL is a mail server"
        )
    useless = {
        "TOKEN": service.token,
        "HEADERS": service.headers,
        "PROXY": service.proxy,
        "FORMAT": service.format is not EmailFormat.DEFAULT,
    }
    for setting in (setting for setting, value in useless.items() if value):
        reader.contradiction(f"{prefix}_{setting} has no effect: expected no such setting for a mail server (smtp://)")


def refuse_mail_options(services: Sequence[EmailServiceSettings], reader: Environment) -> None:
    """Add an error for each option of a mail server when no service is one. A command without services has no error."""
    if any(is_smtp(service.url) or not service.url for service in services):
        return
    for name, value in (("HTML", services[0].html), ("UNSUBSCRIBE", services[0].unsubscribe)):
        if value is not None:
            reader.contradiction(f"HEYDAY_EMAIL_{name} has no effect: expected a mail server (smtp://) with it")


def is_smtp(address: str) -> bool:
    """True if the email service is a mail server."""
    return address.partition(":")[0].lower() in email_access.SMTP_SCHEMES


def email_url(text: str) -> Secret:
    """A URL of an HTTP service or of a mail server."""
    if is_smtp(text):
        email_access.smtp_server(text)
        return Secret(text)
    found = url("http", "https")(text)
    try:
        host = URL(text).host
    except ValueError:
        host = None
    if not host:
        raise ValueError("a URL such as http://host:port/…")
    if urlsplit(text).path.rstrip("/").endswith("/send-email"):
        raise ValueError("the base of the service, without /send-email, which each call adds")
    return found
