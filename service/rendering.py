"""Renders the greeting of an occasion for one user in every language, for the API and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from service.domain.dates import OccasionDate, first_year
from service.domain.occasions import Occasion
from service.domain.texts import Text, lookup, render, text_for
from service.domain.users import User
from service.ports import Greeting

MAX_YEARS = 200
"""Years of a made-up recipient."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The values of a text's placeholders. `years` is None if the year of the date is unknown."""

    first_name: str
    last_name: str | None
    locale: str | None = None
    years: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """Subject and text in one language; None: the default text. `chosen`: the recipient gets this one."""

    language: str | None
    subject: str
    text: str
    chosen: bool


def recipient_of(user: User, occasion: str, today: date) -> Recipient:
    """A user as the next greeting addresses them. The years are those of this year's day, or of the first one."""
    profile = user.profile
    day: OccasionDate | None = profile.dates.get(occasion)
    first = None if day is None else first_year(day)
    years = None if first is None else max(1, today.year - first)
    return Recipient(profile.first_name, profile.last_name, profile.locale, years)


def rendered(occasion: Occasion, recipient: Recipient) -> list[Rendered]:
    """The greeting in every language, the default first."""
    chosen = lookup(recipient.locale, occasion.texts)
    return [
        _rendered(language, _text(occasion, language), recipient, chosen=language == chosen)
        for language in (None, *sorted(occasion.texts))
    ]


def rendered_for(occasion: Occasion, recipient: Recipient) -> Rendered:
    """The greeting in the language of the recipient."""
    language, text = text_for(occasion.default, occasion.texts, recipient.locale)
    return _rendered(language, text, recipient, chosen=True)


def greeting_for_test(occasion: Occasion, recipient: Recipient, to: str, *, key: UUID | None = None) -> Greeting:
    """The greeting of a test: under this key, or a new one. No message has it."""
    found = rendered_for(occasion, recipient)
    private = (to, recipient.first_name, recipient.last_name or "")
    return Greeting(key or uuid4(), to, found.text, private=private, subject=found.subject)


def _text(occasion: Occasion, language: str | None) -> Text:
    return text_for(occasion.default, occasion.texts, language)[1]


def _rendered(language: str | None, text: Text, recipient: Recipient, *, chosen: bool) -> Rendered:
    names = (recipient.first_name, recipient.last_name)
    return Rendered(
        language,
        render(text.subject or "", *names) if text.subject else "",
        render(text.template(recipient.years), *names, recipient.years),
        chosen,
    )
