"""Tests the suggestions for names that are no IANA zones, and for other spellings of dates."""

from __future__ import annotations

import pytest

from service.domain.dates import suggest_day
from service.domain.windows_zones import WINDOWS_ZONES
from service.domain.zone_suggestions import suggest_zone
from service.domain.zones import zone_names


@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.swapcase, lambda name: f" {name.replace('_', ' ')} "])
def test_every_zone_in_another_spelling_is_known(spelled: object) -> None:
    """All 598 names, in any letter case, and with spaces instead of underscores."""
    assert callable(spelled)
    assert {name: suggest_zone(spelled(name)) for name in zone_names()} == {name: name for name in zone_names()}


def test_every_zone_of_windows_has_an_iana_zone() -> None:
    """HR systems on Windows export these names. Of them, UTC is an IANA zone itself."""
    assert set(WINDOWS_ZONES.values()) <= zone_names()
    found = {name: suggest_zone(name.lower()) for name in WINDOWS_ZONES}
    assert found == {**WINDOWS_ZONES, "UTC": "UTC"}


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("UTC+2", "Etc/GMT-2"),
        ("GMT-5", "Etc/GMT+5"),
        ("+02:00", "Etc/GMT-2"),
        ("UTC+14", "Etc/GMT-14"),
        ("Z", "UTC"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("UTC+15", None),
        ("UTC+5:30", None),
        ("Bern", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_a_zone_is_suggested_where_one_is_meant(name: str, zone: str | None) -> None:
    """An offset of half an hour names no zone."""
    assert suggest_zone(name) == zone


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("31.12.1990", "1990-12-31"),
        ("5.5.1990", "1990-05-05"),
        ("12/31/1990", "1990-12-31"),
        ("31/12/1990", "1990-12-31"),
        ("03/04/1990", None),
        ("1990/12/31", "1990-12-31"),
        ("19901231", "1990-12-31"),
        ("1990-12-31T00:00:00Z", "1990-12-31"),
        ("1990-12-31 00:00:00", "1990-12-31"),
        ("12-31", "--12-31"),
        ("31.02.1990", None),
        ("yesterday", None),
    ],
)
def test_a_date_is_suggested_where_one_alone_is_meant(text: str, day: str | None) -> None:
    """03/04 may be 3 April or 4 March, so nothing is suggested."""
    assert (None if (meant := suggest_day(text)) is None else str(meant)) == day
