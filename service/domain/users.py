"""A user: name, address, time zone and days."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import idna

from service.domain.dates import OccasionDate


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's data as clients give it. `dates` maps occasion codes to dates; an occasion without a date is absent.

    `last_name` is None for people with one name. `external_id` is the client's own key; `locale` a language tag.
    """

    first_name: str
    last_name: str | None
    email: str
    timezone: str
    dates: Mapping[str, OccasionDate]
    location_city: str | None = None
    location_country: str | None = None
    external_id: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A stored user. `version` grows with every change and is what the ETag says."""

    id: UUID
    profile: Profile
    version: int
    created_at: datetime
    updated_at: datetime


def email_key(email: str) -> str:
    """The form in which two addresses are compared: without regard to case, to composed accents, or to IDNA forms.

    The local part by Unicode 3.13, D145 (canonical caseless matching). The domain in its ASCII form by IDNA 2008, in
    which `straße.de` and `strasse.de` are two domains.
    """
    if email.isascii():
        return email.lower()  # the same result, faster
    local, at, domain = email.rpartition("@")
    return f"{_caseless(local)}@{_ascii_domain(domain)}" if at else _caseless(email)


def _ascii_domain(domain: str) -> str:
    if not domain.isascii():
        try:
            return idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return _caseless(domain)  # it is no domain, and a search finds nothing
    return domain.lower()


def _caseless(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
