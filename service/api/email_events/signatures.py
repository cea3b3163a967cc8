"""Checks that a webhook comes from the email service, by each service's own documented means.

* `postmark`: a password of Basic authentication in the URL, or a header that you set
  (https://postmarkapp.com/developer/webhooks/webhooks-overview, https://postmarkapp.com/developer/api/webhooks-api).
* `brevo`: a bearer token, or a name and password in the URL (https://developers.brevo.com/docs/secured-webhooks).
* `sendgrid`: an ECDSA signature of timestamp and body
  (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features).
* `mailgun`: HMAC-SHA256 of timestamp and token, in the body, which itself is not signed: see `token_of`
  (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks).
* `resend`: HMAC-SHA256 of id, timestamp and body, as Svix makes it
  (https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests,
  https://docs.svix.com/receiving/verifying-payloads/how-manual).

Secrets are compared in constant time, and every secret of the format is compared.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from service.api.http.body import parse_foreign
from service.domain.email_formats import EmailFormat

SENDGRID_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

MAX_SIGNATURES = 10
"""Signatures of one request by Svix that are looked at: it sends one for each secret that is valid."""

AHEAD = timedelta(minutes=5)
"""A timestamp may be so far ahead of the database's clock."""

STALE_AFTER: Mapping[EmailFormat, timedelta] = {
    EmailFormat.SENDGRID: timedelta(hours=25),
    EmailFormat.MAILGUN: timedelta(hours=9),
    EmailFormat.RESEND: timedelta(minutes=5),
}
"""Older timestamps are refused. Svix signs each attempt anew. SendGrid repeats an event for 24 hours and Mailgun for
eight, and neither says that it signs anew, so that a shorter time could lose events after an outage."""

_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)


class NotAuthentic(Exception):
    """The webhook does not come from the service, or is too old. The text says why, without any secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """The parts of a request that signatures cover."""

    headers: CIMultiDictProxy[str] | CIMultiDict[str]
    body: bytes

    def header(self, name: str) -> str:
        """Return the only value of a header. Raises NotAuthentic if there is none, or more than one."""
        values = self.headers.getall(name, [])
        if len(values) != 1:
            raise NotAuthentic(f"expected one header {name}")
        return values[0]


def verify(email_format: EmailFormat, keys: Sequence[bytes], webhook: Webhook, now: datetime) -> None:
    """Raise NotAuthentic unless one of these keys made the signature, lately. Raises Problem for a malformed body."""
    signed_at = _VERIFY[email_format](keys, webhook)
    if signed_at is None:
        return
    age = now.timestamp() - signed_at
    if age > STALE_AFTER[email_format].total_seconds() or -age > AHEAD.total_seconds():
        raise NotAuthentic("the timestamp is too old, or ahead")


def token_of(email_format: EmailFormat, document: Any) -> bytes | None:
    """The part of a document that is signed, where the events themselves are not; None where they are.

    It is valid only for the events that came with it first. `document` was verified.
    """
    if email_format is not EmailFormat.MAILGUN:
        return None
    signed = document["signature"]
    return _bytes(_text(signed["timestamp"]) + _text(signed["token"]))


def _by_password(keys: Sequence[bytes], webhook: Webhook) -> None:
    scheme, _, given = webhook.header("Authorization").partition(" ")
    if scheme.lower() == "bearer":
        secret = _bytes(given.strip())
    elif scheme.lower() == "basic":
        _, _, secret = _base64(given.strip()).partition(b":")
    else:
        raise NotAuthentic("expected Basic or Bearer")
    _require(sha256(secret).digest(), [sha256(key).digest() for key in keys])


def _by_ecdsa(keys: Sequence[bytes], webhook: Webhook) -> int:
    # Imported here: a node without such a secret does not load the library.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    timestamp = webhook.header(SENDGRID_TIMESTAMP)
    signature = _base64(webhook.header(SENDGRID_SIGNATURE))
    for key in keys:
        public_key = load_der_public_key(key)
        if isinstance(public_key, EllipticCurvePublicKey):
            try:
                public_key.verify(signature, _bytes(timestamp) + webhook.body, ECDSA(SHA256()))
            except InvalidSignature:
                continue
            return _seconds(timestamp)
    raise NotAuthentic("the signature is wrong")


def _in_body(keys: Sequence[bytes], webhook: Webhook) -> int:
    document = parse_foreign(webhook.body)
    signed = document.get("signature") if isinstance(document, dict) else None
    if not isinstance(signed, dict):
        raise NotAuthentic("expected a signature in the body")
    timestamp, token, signature = (_text(signed.get(name)) for name in ("timestamp", "token", "signature"))
    _require(_bytes(signature), [_hmac(key, _bytes(timestamp + token)).hex().encode() for key in keys])
    return _seconds(timestamp)


def _by_svix(keys: Sequence[bytes], webhook: Webhook) -> int:
    timestamp = webhook.header("svix-timestamp")
    content = _bytes(f"{webhook.header('svix-id')}.{timestamp}.") + webhook.body
    expected = [b64encode(_hmac(key, content)) for key in keys]
    given = [one.removeprefix("v1,") for one in webhook.header("svix-signature").split(" ") if one.startswith("v1,")]
    if not any([_matches(_bytes(one), expected) for one in given[:MAX_SIGNATURES]]):  # noqa: C419 - compares all
        raise NotAuthentic("the signature is wrong")
    return _seconds(timestamp)


_VERIFY: Mapping[EmailFormat, Callable[[Sequence[bytes], Webhook], int | None]] = {
    EmailFormat.POSTMARK: _by_password,
    EmailFormat.BREVO: _by_password,
    EmailFormat.SENDGRID: _by_ecdsa,
    EmailFormat.MAILGUN: _in_body,
    EmailFormat.RESEND: _by_svix,
}
"""Each returns the signed time in seconds since 1970, or None where the service signs none."""


def _require(given: bytes, expected: Sequence[bytes]) -> None:
    if not _matches(given, expected):
        raise NotAuthentic("the secret or the signature is wrong")


def _matches(given: bytes, expected: Sequence[bytes]) -> bool:
    return any([hmac.compare_digest(given, one) for one in expected])  # noqa: C419 - compares all


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotAuthentic("expected base64") from error


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise NotAuthentic("expected a timestamp in seconds")
    return int(text)
