"""The kinds of values that users have, as marshmallow fields: strict, and kept as given but for normalisation (NFC)."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from email_validator import EmailNotValidError, validate_email
from marshmallow import fields

from service.domain.zones import zone_names

MOST_CHARACTERS = 100
"""Characters (code points, after NFC) of a name or a place."""

_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # fillers: letters by category, blank to the eye
# What the library below accepts and leaves as it is, without the long way through it; it decides the rest.
_PLAIN_ADDRESS = re.compile(
    r"[A-Za-z0-9_+-]{1,32}(\.[A-Za-z0-9_+-]{1,31})?@([A-Za-z0-9]([A-Za-z0-9]{0,30}[A-Za-z0-9])?\.){1,4}[A-Za-z]{2,24}"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Shape: TypeAlias = Mapping[str, Any]
"""What the OpenAPI document says of a field."""

Messages: TypeAlias = dict[str, str | list[Any] | dict[Any, Any]]

_TEXT_ERRORS: Messages = {
    "invalid": "Expected a string.",
    "required": "Expected, and missing.",
    "null": "Expected a string, not null.",
    "blank": "Expected something to see, not blank.",
    "long": "Expected {most} characters at most.",
    "control": "Expected no control characters, line breaks or lone surrogates.",
}
_EMAIL_ERRORS: Messages = {
    "invalid": "Expected an email address.",
    "required": "Expected, and missing.",
    "null": "Expected an email address, not null.",
    "syntax": "Expected an email address: {reason}",
}
_ZONE_ERRORS: Messages = {
    "invalid": "Expected the name of an IANA time zone, such as Europe/Paris.",
    "required": "Expected, and missing.",
    "null": "Expected the name of an IANA time zone, not null.",
}
_DAY_ERRORS: Messages = {"invalid": "Expected a date that exists, as YYYY-MM-DD."}


def is_blank(text: str) -> bool:
    """Whether nobody would see anything: white space of any script, format characters, fillers."""
    return all(unicodedata.category(char) in _INVISIBLE or char in _BLANK_LETTERS for char in text)


class Text(fields.Field[str]):
    """A line of text of any script: 1 to 100 characters, not blank, without control characters."""

    default_error_messages = _TEXT_ERRORS
    shape: Shape = MappingProxyType(
        {
            "type": "string",
            "format": "visible-line",
            "minLength": 1,
            "maxLength": MOST_CHARACTERS,
            "description": "A line of any script with something to see, kept in NFC; no control characters.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        # The usual name is done with a look: of ASCII nothing is normalised, and only the space cannot be seen.
        if value.isascii() and value.isprintable() and len(value) <= MOST_CHARACTERS and value.strip(" "):
            return value
        # Normalising can only shrink or at most triple a text, so this bound spares the work and refuses nothing good.
        if len(value) > 10 * MOST_CHARACTERS:
            raise self.make_error("long", most=MOST_CHARACTERS)
        text = unicodedata.normalize("NFC", value)
        if len(text) > MOST_CHARACTERS:
            raise self.make_error("long", most=MOST_CHARACTERS)
        if any(unicodedata.category(char) in _REFUSED for char in text):
            raise self.make_error("control")
        if is_blank(text):
            raise self.make_error("blank")
        return text


class EmailAddress(fields.Field[str]):
    """An address by its syntax (no look-up is made), kept as it was given."""

    default_error_messages = _EMAIL_ERRORS
    shape: Shape = MappingProxyType(
        {
            "type": "string",
            "format": "idn-email",
            "description": "254 characters at most, kept as given, compared without regard to case.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or "\0" in value or len(value) > 1000:
            raise self.make_error("invalid")
        if _PLAIN_ADDRESS.fullmatch(value):
            return value
        try:
            # Whether an address can be reached is the email service's to say, so those of rehearsals (.test) are
            # accepted too. Names that are reserved for something else (.invalid, .local) are not, and a domain without
            # a dot is a slip of the hand.
            checked = validate_email(
                value, check_deliverability=False, globally_deliverable=False, test_environment=True
            )
        except (EmailNotValidError, UnicodeError) as error:
            raise self.make_error("syntax", reason=str(error)) from error
        if "." not in checked.domain:
            raise self.make_error("syntax", reason="The part after the @-sign has no dot.")
        given = unicodedata.normalize("NFC", value)
        # As given, unless that is another spelling of the same domain (punycode, full-width letters).
        return given if given.casefold() == checked.normalized.casefold() else checked.normalized


class TimeZone(fields.Field[str]):
    """The name of an IANA time zone, spelled as it is there."""

    default_error_messages = _ZONE_ERRORS
    shape: Shape = MappingProxyType(
        {
            "type": "string",
            "format": "iana-time-zone",
            "description": "An IANA time zone, links and `Etc/*` included, spelled as it is there: `Europe/Paris`.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or value not in zone_names():
            raise self.make_error("invalid")
        return value


class Day(fields.Field[dt.date]):
    """A date as `YYYY-MM-DD`, and nothing else that ISO 8601 allows."""

    default_error_messages = _DAY_ERRORS
    shape: Shape = MappingProxyType(
        {"type": "string", "format": "date", "description": "Not in the future, where the user is."}
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.date:
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            raise self.make_error("invalid")
        try:
            return dt.date.fromisoformat(value)
        except ValueError as error:
            raise self.make_error("invalid") from error
