"""The secrets of webhooks as they are written in settings: `format:secret`.

The secret of `resend` is base64 after `whsec_`. That of `sendgrid` is a public key: a SubjectPublicKeyInfo in base64.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass

from service.domain.email_events import EVENT_FORMATS
from service.domain.email_formats import EmailFormat
from service.environment import Secret

MIN_SECRET_LENGTH = 16
"""Characters of a secret. Webhooks come from the internet, where a shorter one can be guessed."""


class SecretBytes(bytes):
    """Bytes that do not show themselves."""

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True)
class EmailEventSecret:
    """A secret of one format, as the bytes that signatures are checked with."""

    format: EmailFormat
    key: SecretBytes


def parse_email_event_secrets(text: str) -> tuple[EmailEventSecret, ...]:
    """The secrets in `text`, separated by commas or one on each line.

    One format may have several: that is how a secret is changed. Raises ValueError, which shows no part of a secret.
    """
    parts = [part.strip() for part in re.split(r"[,\r\n]", text) if part.strip()]
    return tuple(_parse(part, place) for place, part in enumerate(parts, start=1))


def checked_email_event_secrets(text: str) -> Secret:
    """The text itself, if it can be parsed. Raises ValueError."""
    parse_email_event_secrets(text)
    return Secret(text)


def _parse(text: str, place: int) -> EmailEventSecret:
    name, colon, secret = text.partition(":")
    if not colon or name not in EVENT_FORMATS:
        raise ValueError(f"format:secret with one of the formats {', '.join(EVENT_FORMATS)} (see secret {place})")
    if len(secret) < MIN_SECRET_LENGTH:
        raise ValueError(f"secrets of {MIN_SECRET_LENGTH} characters or more (see secret {place})")
    email_format = EmailFormat(name)
    if email_format is EmailFormat.RESEND:
        return EmailEventSecret(email_format, _base64(secret.removeprefix("whsec_"), place))
    if email_format is EmailFormat.SENDGRID:
        key = _base64(secret, place)
        _check_public_key(key, place)
        return EmailEventSecret(email_format, key)
    return EmailEventSecret(email_format, SecretBytes(secret.encode()))


def _base64(text: str, place: int) -> SecretBytes:
    try:
        return SecretBytes(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(f"the secret in base64, as the provider shows it (see secret {place})") from None


def _check_public_key(key: bytes, place: int) -> None:
    # Imported here: a node without such a secret does not load the library.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        usable = isinstance(load_der_public_key(key), EllipticCurvePublicKey)
    except (ValueError, UnsupportedAlgorithm):
        usable = False
    if not usable:
        raise ValueError(f"the verification key of SendGrid, an ECDSA public key in base64 (see secret {place})")
