"""When two spellings of an address are one address."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.users import email_key

ACUTE = "\N{COMBINING ACUTE ACCENT}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ADA@Example.COM"),
        ("straße@example.com", "STRASSE@EXAMPLE.COM"),
        ("straße@example.com", "STRAẞE@example.com"),
        ("jose\N{COMBINING ACUTE ACCENT}@example.com", "jos\N{LATIN SMALL LETTER E WITH ACUTE}@example.com"),
        ("JOS\N{LATIN CAPITAL LETTER E WITH ACUTE}@example.com", "jose\N{COMBINING ACUTE ACCENT}@example.com"),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}@example.com", "i\N{COMBINING DOT ABOVE}@example.com"),
        ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),
        ("\N{KELVIN SIGN}@example.com", "k@example.com"),
        # Two accents in either order are the same letter; the second is one that case folding turns into a letter.
        (
            "\N{GREEK SMALL LETTER ALPHA}\N{COMBINING GREEK YPOGEGRAMMENI}" + ACUTE,
            "\N{GREEK SMALL LETTER ALPHA}" + ACUTE + "\N{COMBINING GREEK YPOGEGRAMMENI}",
        ),
    ],
)
def test_spellings_of_one_address_are_one_address(one: str, other: str) -> None:
    """An earlier system had two users, and greeted both."""
    assert one != other
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose@example.com", "josé@example.com"),
        ("i@example.com", "\N{LATIN SMALL LETTER DOTLESS I}@example.com"),
        ("i@example.com", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}@example.com"),
        ("a.da@example.com", "ada@example.com"),
        ("ada+1@example.com", "ada@example.com"),
        ("\N{CYRILLIC SMALL LETTER A}da@example.com", "ada@example.com"),
    ],
)
def test_different_addresses_stay_different(one: str, other: str) -> None:
    """Nobody may be refused because somebody else's address looks alike, or is alike at one provider."""
    assert email_key(one) != email_key(other)


@given(st.text())
def test_no_way_to_compose_a_text_makes_another_address(text: str) -> None:
    """Keyboards and operating systems differ."""
    keys = {email_key(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} | {email_key(text)}

    assert len(keys) == 1


@given(st.text())
def test_no_way_to_write_case_makes_another_address(text: str) -> None:
    """Small letters, folded letters, and a key itself: all the same."""
    assert email_key(text.casefold()) == email_key(text)
    assert email_key(email_key(text)) == email_key(text)
