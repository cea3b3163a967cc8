"""The values of a user as marshmallow fields: strict, and kept as given, except that text is normalised (NFC).

Each field bounds a value, then checks it, then normalises it: some checks and normalisations take time that grows with
the square of the length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from marshmallow import fields

from service.domain.dates import OccasionDate, parse_day, suggest_day
from service.domain.languages import MAX_TAG_CHARACTERS, language_tag, suggest_tag
from service.domain.zone_suggestions import suggest_zone
from service.domain.zones import zone_names

MAX_CHARACTERS = 100
"""Characters (code points, after NFC) of a name or a place."""

MAX_KEY_CHARACTERS = 255
"""Characters of the caller's own key of a user."""

MAX_EMAIL_CHARACTERS = 320
"""Characters of an address before it is checked. A valid one has 254 at most, in the form that is sent."""

MAX_MARKS = 30
"""Combining marks in a row, as in the Stream-Safe Text Format (UAX #15, 13). No language needs more than a few."""

_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # fillers: letters by category, blank to the eye
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters with the Unicode property Bidi_Control: they can make the text around a name read as another text."""
_SPECIAL_USE = frozenset(SPECIAL_USE_DOMAIN_NAMES) - {"test"}
# Addresses that the library below accepts as they are. It decides about all others.
_PLAIN_ADDRESS = re.compile(
    r"[A-Za-z0-9_+-]{1,32}(\.[A-Za-z0-9_+-]{1,31})?@([A-Za-z0-9]([A-Za-z0-9]{0,30}[A-Za-z0-9])?\.){1,4}[A-Za-z]{2,24}"
)

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
"""An id as paths, queries and bodies have it."""

JsonSchema: TypeAlias = Mapping[str, Any]
"""The JSON schema of a field in the OpenAPI document."""

Messages: TypeAlias = dict[str, str | list[Any] | dict[Any, Any]]

_TEXT_ERRORS: Messages = {
    "invalid": "Expected a string.",
    "required": "Expected, and missing.",
    "null": "Expected a string, not null.",
    "blank": "Expected a visible character, not blank.",
    "long": "Expected {most} characters at most.",
    "control": "Expected no control characters, line breaks or lone surrogates.",
    "bidi": "Expected no bidirectional control characters.",
    "marks": "Expected 30 combining marks in a row at most.",
}
_EMAIL_ERRORS: Messages = {
    "invalid": "Expected an email address.",
    "required": "Expected, and missing.",
    "null": "Expected an email address, not null.",
    "syntax": "Expected an email address: {reason}",
}
NUMBER_ERRORS: Messages = {"invalid": "Expected a whole number from {least} to {most}."}
_ZONE_ERRORS: Messages = {
    "invalid": "Expected the name of an IANA time zone, such as Europe/Paris.",
    "meant": "Expected the name of an IANA time zone. Did you mean {zone}?",
    "required": "Expected, and missing.",
    "null": "Expected the name of an IANA time zone, not null.",
}
_DAY_ERRORS: Messages = {
    "invalid": "Expected a date that exists, as YYYY-MM-DD, or as --MM-DD where the year is unknown.",
    "meant": "Expected a date as YYYY-MM-DD. Did you mean {day}?",
    "none": "Expected a date; 0001-01-01 stands for no date in some languages: send null.",
}
_NO_DAY = "0001-01-01"
_KEY_ERRORS: Messages = {**_TEXT_ERRORS, "space": "Expected no white space at the begin or the end."}
_LANGUAGE_ERRORS: Messages = {
    "invalid": "Expected a language tag (BCP 47), such as de or pt-BR.",
    "meant": "Expected a language tag (BCP 47). Did you mean {tag}?",
}


def has_long_run_of_marks(text: str) -> bool:
    """True for a text with more than MAX_MARKS combining marks in a row."""
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run > MAX_MARKS:
            return True
    return False


def is_blank(text: str) -> bool:
    """True for a text without a visible character: white space of any script, format characters and fillers only."""
    return all(unicodedata.category(char) in _INVISIBLE or char in _BLANK_LETTERS for char in text)


class Text(fields.Field[str]):
    """A line of text of any script: 1 to 100 characters, not blank, without control characters."""

    default_error_messages = _TEXT_ERRORS
    most = MAX_CHARACTERS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "visible-line",
            "minLength": 1,
            "maxLength": MAX_CHARACTERS,
            "description": "A line of any script with a visible character, kept in NFC. No control characters, also no "
            "bidirectional ones, and 30 combining marks in a row at most.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        # The usual name in ASCII: there is nothing to normalise, and only the space is invisible.
        if value.isascii() and value.isprintable() and len(value) <= self.most and value.strip(" "):
            return value
        # Normalising shrinks a text or triples it at most, so this bound refuses nothing good.
        if len(value) > 10 * self.most:
            raise self.make_error("long", most=self.most)
        if has_long_run_of_marks(value):
            raise self.make_error("marks")
        text = unicodedata.normalize("NFC", value)
        if len(text) > self.most:
            raise self.make_error("long", most=self.most)
        if any(unicodedata.category(char) in _REFUSED for char in text):
            raise self.make_error("control")
        if not _BIDI_CONTROLS.isdisjoint(text):
            raise self.make_error("bidi")
        if is_blank(text):
            raise self.make_error("blank")
        return text


class ExternalId(Text):
    """The key that a user has in the caller's own system."""

    default_error_messages = _KEY_ERRORS
    most = MAX_KEY_CHARACTERS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "external-id",
            "minLength": 1,
            "maxLength": MAX_KEY_CHARACTERS,
            "description": "The key that the user has in your own system. Unique among users not deleted; compared "
            "with regard to case. A line as names are, without white space at its begin or end.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text != text.strip():
            raise self.make_error("space")
        return text


class Language(fields.Field[str]):
    """A language tag, kept in the recommended spelling."""

    default_error_messages = _LANGUAGE_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "language-tag",
            "maxLength": MAX_TAG_CHARACTERS,
            "description": "A language tag (BCP 47), such as `de` or `pt-BR`; kept in this spelling.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        tag = language_tag(value) if isinstance(value, str) else None
        if tag is None:
            meant = suggest_tag(value) if isinstance(value, str) else None
            raise self.make_error("meant", tag=meant) if meant else self.make_error("invalid")
        return tag


class EmailAddress(fields.Field[str]):
    """An email address, checked by its syntax without a look-up, and kept as given."""

    default_error_messages = _EMAIL_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "idn-email",
            "description": "254 characters at most, kept as given, compared without regard to case and to the IDNA "
            "form of the domain.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or "\0" in value or len(value) > MAX_EMAIL_CHARACTERS:
            raise self.make_error("invalid")
        if _PLAIN_ADDRESS.fullmatch(value) and value.rpartition(".")[2].lower() not in _SPECIAL_USE:
            return value
        if has_long_run_of_marks(value):
            raise self.make_error("invalid")
        try:
            # The email service says if an address can be reached, so those of rehearsals (.test) are accepted. Names
            # that are reserved for something else (.invalid, .local, .onion, .arpa, .localhost) are refused, and so is
            # a domain without a dot.
            checked = validate_email(
                value, check_deliverability=False, globally_deliverable=False, test_environment=True
            )
        except (EmailNotValidError, UnicodeError) as error:
            raise self.make_error("syntax", reason=str(error)[:200]) from error
        if "." not in checked.domain:
            raise self.make_error("syntax", reason="The part after the @-sign has no dot.")
        given = unicodedata.normalize("NFC", value)
        domain = given.rpartition("@")[2].casefold()
        # Both IDNA forms of a domain are kept as given. Other spellings, such as full-width letters, are normalised.
        return given if domain in (checked.domain.casefold(), checked.ascii_domain) else checked.normalized


class TimeZone(fields.Field[str]):
    """The name of an IANA time zone, spelled as it is there."""

    default_error_messages = _ZONE_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "iana-time-zone",
            "description": "An IANA time zone, links and `Etc/*` included, spelled as it is there: `Europe/Paris`.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or value not in zone_names():
            meant = suggest_zone(value) if isinstance(value, str) else None
            raise self.make_error("meant", zone=meant) if meant else self.make_error("invalid")
        return value


class Day(fields.Field[OccasionDate]):
    """A date as `YYYY-MM-DD`, or `--MM-DD` without a year, and nothing else that ISO 8601 allows."""

    default_error_messages = _DAY_ERRORS
    json_schema: JsonSchema = MappingProxyType(
        {
            "type": "string",
            "format": "occasion-date",
            "description": "`YYYY-MM-DD`, or `--MM-DD` where the year is unknown. Not in the future, "
            "where the user is, and not `0001-01-01`, which stands for no date in some languages.",
        }
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> OccasionDate:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            day = parse_day(value)
        except ValueError as error:
            meant = suggest_day(value)
            if str(meant) == _NO_DAY:
                raise self.make_error("none") from error
            raise (self.make_error("meant", day=meant) if meant else self.make_error("invalid")) from error
        if value == _NO_DAY:
            raise self.make_error("none")
        return day


class WholeNumber(fields.Field[int]):
    """A number of JSON without a fraction, from `least` to `most`."""

    default_error_messages = NUMBER_ERRORS

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most
        self.json_schema: JsonSchema = {"type": "integer", "minimum": least, "maximum": most}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        # JSON has no integers of its own: 3.0 is 3.
        if type(value) not in (int, float) or not self.least <= value <= self.most or value != int(value):
            raise self.make_error("invalid", least=self.least, most=self.most)
        return int(value)
