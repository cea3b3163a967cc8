"""API keys as they are written in settings: `name:role:secret`, or a secret alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from service.domain.roles import Role
from service.environment import Secret

DIGEST_PREFIX = "sha256:"
"""Before the hexadecimal SHA-256 of a secret, which then need not be in the settings itself."""

_FORM = "keys as name:role:secret, or as a secret without a colon"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret.

    `digest` is the hexadecimal SHA-256 of the secret. `length` counts its characters; None if only the digest is given.
    """

    name: str
    role: Role
    digest: Secret
    length: int | None = None

    @property
    def fingerprint(self) -> str:
        """A short text that stays the same as long as the secret does."""
        return self.digest[:16]


def digest(secret: str) -> Secret:
    """The hexadecimal SHA-256 of a secret."""
    return Secret(hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest())


def parse_api_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys in `text`, separated by commas or one on each line.

    A secret alone has the role admin and a name by its place, such as `key-1`. Two keys may have one name, as long as
    they have one role: that is how a client changes its secret. Raises ValueError, which shows no part of a key.
    """
    parts = _parts(text)
    keys = tuple(_parse(part, place) for place, part in enumerate(parts, start=1))
    if len({key.digest for key in keys}) < len(keys):
        raise ValueError("each secret once")
    roles: dict[str, Role] = {}
    for key in keys:
        if roles.setdefault(key.name, key.role) is not key.role:
            raise ValueError(f"one role for all keys of the name {key.name}")
    return keys


def strongest_secret(text: str) -> Secret | None:
    """The secret of the key with the highest role, of those whose secret and not only its digest is in `text`."""
    found: tuple[Role, str] | None = None
    for place, part in enumerate(_parts(text), start=1):
        key = _parse(part, place)
        if key.length is not None and (found is None or not found[0].may(key.role)):
            found = (key.role, part if ":" not in part else part.split(":", 2)[2])
    return Secret(found[1]) if found is not None else None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\r\n]", text) if part.strip()]


def checked_api_keys(text: str) -> Secret:
    """The text itself, if it can be parsed. Raises ValueError."""
    parse_api_keys(text)
    return Secret(text)


def _parse(text: str, place: int) -> ApiKey:
    if text.startswith("#"):  # a comment would be a secret that can be guessed
        raise ValueError(f"keys without comments (see key {place})")
    if ":" not in text or text.startswith(DIGEST_PREFIX):
        return _key(f"key-{place}", Role.ADMIN, text, place)
    name, _, rest = text.partition(":")
    role, colon, secret = rest.partition(":")
    if not colon or not secret or not _NAME.fullmatch(name):
        raise ValueError(f"{_FORM} (see key {place})")
    if role not in tuple(Role):
        raise ValueError(f"one of the roles {', '.join(Role)} (see key {place})")
    return _key(name, Role(role), secret, place)


def _key(name: str, role: Role, secret: str, place: int) -> ApiKey:
    if re.search(r"\s", secret) or not secret.isprintable():
        raise ValueError(f"secrets without white space and invisible characters (see key {place})")
    if not secret.startswith(DIGEST_PREFIX):
        return ApiKey(name, role, digest(secret), len(secret))
    hexadecimal = secret.removeprefix(DIGEST_PREFIX)
    if not _DIGEST.fullmatch(hexadecimal):
        raise ValueError(f"64 hexadecimal digits after {DIGEST_PREFIX} (see key {place})")
    return ApiKey(name, role, Secret(hexadecimal.lower()))
