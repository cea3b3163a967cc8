"""Which spellings of an address are the same address."""

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
        # The forms of an internationalised domain name.
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ADA@XN--BCHER-KVA.EXAMPLE"),
        ("ada@bu\N{COMBINING DIAERESIS}cher.example", "ada@bücher.example"),
        ("x@straße.de", "x@xn--strae-oqa.de"),
        ("ada@ｅxample.com", "ada@example.com"),
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
        # By IDNA 2008 two domains, which two people may own.
        ("x@straße.de", "x@strasse.de"),
    ],
)
def test_different_addresses_stay_different(one: str, other: str) -> None:
    """A user must not be refused because another address looks alike, or is the same at one provider."""
    assert email_key(one) != email_key(other)


_LOCAL = st.text().filter(lambda text: "@" not in text)


@given(_LOCAL)
def test_no_way_to_compose_a_text_makes_another_address(text: str) -> None:
    """Keyboards and operating systems compose characters differently."""
    address = f"{text}@example.com"
    keys = {email_key(unicodedata.normalize(form, address)) for form in ("NFC", "NFD")} | {email_key(address)}

    assert len(keys) == 1


@given(_LOCAL)
def test_no_way_to_write_case_makes_another_address(text: str) -> None:
    """Lower case, case folding, and a key itself give the same key."""
    address = f"{text}@example.com"

    assert email_key(address.casefold()) == email_key(address)
    assert email_key(email_key(address)) == email_key(address)


@given(st.text())
def test_every_text_has_a_key(text: str) -> None:
    """Searches may contain text that is no address."""
    assert email_key(email_key(text)) == email_key(text)
