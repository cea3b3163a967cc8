"""A user: who is greeted, where, and on which days."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Profile:
    """What a client says about a user. `dates` maps occasion codes to dates; an occasion without a date is absent."""

    first_name: str
    last_name: str
    email: str
    timezone: str
    dates: dict[str, date]
    location_city: str | None = None
    location_country: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A stored user. `version` grows with every change and is what the ETag says."""

    id: UUID
    profile: Profile
    version: int
    created_at: datetime
    updated_at: datetime


def email_key(email: str) -> str:
    """The form in which two addresses are compared: without regard to case or to the way accents are composed.

    Case folding and normalisation as Unicode 3.13, D145 (canonical caseless matching).
    """
    if email.isascii():
        return email.lower()  # the same, without the way there
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", email).casefold())
