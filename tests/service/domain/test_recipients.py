"""Tests the recipients and texts of a preview."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from service.domain.dates import MonthDay, OccasionDate
from service.domain.occasions import Occasion
from service.domain.recipients import Recipient, recipient
from service.domain.texts import Text
from service.domain.users import Profile, User

AT = datetime(2026, 1, 1, tzinfo=UTC)
ADA = User(UUID(int=1), Profile("Ada", None, "ada@example.com", "UTC", {}, locale="de-AT"), 1, AT, AT)
OCCASION = Occasion(
    "birthday",
    Text("Happy", "Hey, {full_name}: {years}", "Hey, {full_name}"),
    {"de": Text(None, "Hallo {first_name}, {years}!", "Hallo {first_name}!")},
)


@pytest.mark.parametrize(
    ("day", "locale", "text"),
    [
        (date(1990, 5, 1), "de-AT", "Hallo Ada, 36!"),
        (MonthDay(5, 1), "de-AT", "Hallo Ada!"),
        (date(1990, 5, 1), None, "Hey, Ada: 36"),
        (MonthDay(5, 1), "fr", "Hey, Ada"),
    ],
)
def test_the_text_is_that_of_language_and_date(day: OccasionDate, locale: str | None, text: str) -> None:
    """The sender uses the same function."""
    user = replace(ADA, profile=replace(ADA.profile, dates={"birthday": day}, locale=locale))

    assert recipient(user, OCCASION, 2026) == Recipient("Ada", "ada@example.com", text)


def test_a_text_that_cannot_be_rendered_is_none() -> None:
    """Name and address are still shown."""
    broken = Occasion("birthday", Text("Happy", "Hey, {nobody}"))

    assert recipient(ADA, broken, 2026) == Recipient("Ada", "ada@example.com", None)
    assert recipient(ADA, None, 2026).text is None
    assert recipient(ADA, OCCASION, None).text is None
