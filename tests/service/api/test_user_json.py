"""Valid documents take a fast path, which must give the same result as the schema."""

from __future__ import annotations

from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError

from service.api.http.fields import _PLAIN_ADDRESS, EmailAddress, Text
from service.api.representations.users import loader, user_schema

OCCASIONS = ("birthday", "anniversary")

_texts = st.text(max_size=12) | st.sampled_from(["Ada", " ", "", "Zoe\u0308", "a" * 101, "\x7f", "a\nb"])
_values = st.none() | st.integers() | st.booleans() | st.lists(st.integers(), max_size=2) | _texts
_documents = st.fixed_dictionaries(
    {
        "firstName": _texts | _values,
        "lastName": _texts,
        "email": st.emails() | st.sampled_from(["ada@example.com", "a..b@c.de", "a@b"]) | _values,
        "timezone": st.sampled_from(["Europe/London", "UTC", "Mars"]) | _values,
    },
    optional={
        "birthdayDate": st.dates().map(str) | _values,
        "anniversaryDate": st.just("2023-02-29") | _values,
        "locationCity": _values,
        "locationCountry": _texts,
        "unknown": _values,
    },
)


@pytest.mark.parametrize("partial", [False, True])
@given(document=_documents | st.dictionaries(st.sampled_from(["firstName", "birthdayDate", "x"]), _values) | _values)
def test_the_short_way_and_the_schema_agree(partial: bool, document: Any) -> None:
    """Property: the rules exist once, and the fast path only avoids overhead."""
    schema = user_schema(OCCASIONS)(partial=partial)

    assert _outcome(loader(OCCASIONS, partial=partial), document) == _outcome(schema, document)


def _outcome(schema: Any, document: Any) -> Any:
    try:
        return schema.load(document)
    except ValidationError as error:
        return error.messages


@given(st.from_regex(_PLAIN_ADDRESS, fullmatch=True))
@example("ada.lovelace+tag@mail.example.com")
@example("a" * 32 + "." + "b" * 31 + "@" + ("c" * 32 + ".") * 4 + "d" * 24)
def test_a_plain_address_is_one_that_the_library_leaves_as_it_is(address: str) -> None:
    """Property: the fast path accepts no address that the library would refuse or change."""
    try:
        checked = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        pytest.fail(f"{address!r}: {error}")

    assert checked.normalized.casefold() == address.casefold()
    assert EmailAddress().deserialize(address) == address


@given(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=110))
def test_a_plain_name_is_loaded_as_every_other(text: str) -> None:
    """Property: the check for ASCII names gives the same result as the check of each character."""
    padded = f"{text}\u0100"  # which always takes the long way

    assert _outcome_of_text(text) in (text, None)
    if 0 < len(text) < 100 and text.isascii() and text.strip(" "):
        assert (_outcome_of_text(text) is None) == (_outcome_of_text(padded) is None)


def _outcome_of_text(text: str) -> str | None:
    """Return the text, None if it is refused: any word may be drawn as a name, also one of this file."""
    try:
        return Text().deserialize(text)
    except ValidationError:
        return None
