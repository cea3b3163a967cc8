"""Addresses to which heyday may write."""

from __future__ import annotations

import pytest

from service.domain.suppressions import address_hash, may_write_to, only_to
from service.domain.users import email_key


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("Ada@Example.com", True),
        ("bob@example.com", False),
        ("bob@STRASSE.example", True),
        ("bob@sub.strasse.example", False),
        ("bob@Bücher.example", True),
        ("bob@xn--bcher-kva.example", True),
    ],
)
def test_an_address_is_allowed_by_itself_or_by_its_domain(address: str, allowed: bool) -> None:
    """Spelling does not matter. A domain does not allow its subdomains."""
    entries = only_to(" ada@example.COM, @strasse.example ,@bücher.example")

    assert may_write_to(email_key(address), entries) is allowed
    assert may_write_to(email_key(address), None)


@pytest.mark.parametrize("text", ["ada", "@", "@localhost", "a@b@example.com", "ada@example.com,", "a b@example.com"])
def test_a_list_with_a_mistake_is_refused(text: str) -> None:
    """A staging system must not write to all users because of a typing error."""
    with pytest.raises(ValueError, match="addresses and @domains"):
        only_to(text)


def test_spellings_of_one_address_have_one_hash() -> None:
    """An opt-out holds for every spelling of the address."""
    assert address_hash("Ada@Bücher.example") == address_hash("ada@xn--bcher-kva.example")
    assert len(address_hash("ada@example.com")) == 32
