"""Addresses that get nothing, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from service.domain.users import email_key

ONLY_TO = "only_to"
"""The reason, in metrics, of a message to an address that HEYDAY_ONLY_TO does not name."""

ONLY_TO_SENTENCE = "HEYDAY_ONLY_TO does not name the address"
"""`status_reason` of such a message, as in messages.sql."""

SUPPRESSED_SENTENCE = "the address is suppressed"
"""The beginning of `status_reason` of a message to a suppressed address, as in messages.sql."""


class SuppressionReason(StrEnum):
    """The reason for which an address gets nothing; the values are those of the database, of JSON and of metrics."""

    OPT_OUT = "opt_out"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address to suppress. `source` says where it comes from, such as a provider or a form.

    Without `keep_address`, the address itself is stored only if a user has it, and its hash always.
    """

    email: str
    reason: SuppressionReason
    source: str
    keep_address: bool = True


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that gets nothing. `email` is None once its user was erased; its hash still finds it."""

    id: UUID
    email: str | None
    reason: SuppressionReason
    source: str
    created_at: datetime


def address_hash(email: str) -> bytes:
    """The SHA-256 of the form in which addresses are compared."""
    return sha256(email_key(email).encode()).digest()


def only_to(text: str) -> tuple[str, ...]:
    """Addresses and `@domains`, separated by commas, in the form in which they are compared. Raises ValueError."""
    found = []
    for part in text.split(","):
        entry = part.strip()
        local, at, domain = entry.rpartition("@")
        if (
            not at
            or "." not in domain
            or any(char.isspace() for char in entry)
            or "@" in local
            or local == "*"
            or "*" in domain
        ):
            raise ValueError("addresses and @domains, separated by commas, such as ada@example.com,@example.org")
        found.append(email_key(entry) if local else email_key(f"x{entry}")[1:])
    return tuple(found)


def may_write_to(key: str, allowed: Collection[str] | None) -> bool:
    """True when the address of that comparison key is among `allowed` addresses and @domains; None allows all."""
    return allowed is None or key in allowed or f"@{key.rpartition('@')[2]}" in allowed


def is_suppression(status_reason: str | None) -> bool:
    """True for the `status_reason` of a message that was cancelled because of its address."""
    return status_reason is not None and status_reason.startswith((SUPPRESSED_SENTENCE, ONLY_TO_SENTENCE))
