"""The recipient of a greeting: name, address and text as they are now."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.dates import first_year
from service.domain.occasions import Occasion
from service.domain.texts import InvalidText, render, text_for
from service.domain.users import User


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user as a greeting shows them. `text` is None if it cannot be rendered."""

    name: str
    email: str
    text: str | None


def recipient(user: User, occasion: Occasion | None, local_year: int | None) -> Recipient:
    """The recipient of an occasion's greeting of a local year."""
    profile = user.profile
    name = " ".join(part for part in (profile.first_name, profile.last_name) if part is not None)
    if occasion is None or local_year is None:
        return Recipient(name, profile.email, None)
    day = profile.dates.get(occasion.code)
    year = None if day is None else first_year(day)
    years = None if year is None else local_year - year
    _language, text = text_for(occasion.default, occasion.texts, profile.locale)
    try:
        return Recipient(
            name, profile.email, render(text.template(years), profile.first_name, profile.last_name, years)
        )
    except InvalidText:
        return Recipient(name, profile.email, None)
