"""The texts of a greeting: their syntax, the choice by language, and the rendering.

A text may contain the placeholders `{full_name}`, `{first_name}`, `{last_name}` and `{years}`. A brace itself is
written twice. The schema refuses what this module refuses (`text_mistake` in schema/0017_occasion_rules.sql).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

NAMES = ("full_name", "first_name", "last_name")
YEARS = "years"

MAX_TEXT = 10_000
"""Characters of a text."""

MAX_SUBJECT = 200
"""Characters of a subject."""

MAX_LANGUAGES = 100
"""Languages of one occasion."""

_PIECE = r"[^{{}}]|\{{\{{|\}}\}}|\{{(?:{names})\}}"
_WITH_YEARS = re.compile(f"(?:{_PIECE.format(names='|'.join((*NAMES, YEARS)))})*")
_WITHOUT_YEARS = re.compile(f"(?:{_PIECE.format(names='|'.join(NAMES))})*")
_YEARS = re.compile(rf"(?:{_PIECE.format(names='|'.join(NAMES))})*\{{years\}}")
_LINE_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

SHOWN_BEFORE, SHOWN_AFTER = 30, 20
"""Characters around a mistake that its description repeats."""


class InvalidText(ValueError):
    """A text cannot be rendered, or must not be sent."""


@dataclass(frozen=True, slots=True)
class Text:
    """A subject and a text. `without_years` is for dates whose year is unknown; a text with `{years}` needs it.

    `subject` is None only for another language than the default: then the default's subject is used.
    """

    subject: str | None
    text: str
    without_years: str | None = None

    def template(self, years: int | None) -> str:
        """The text to fill in for that number of years; None: the year of the date is unknown."""
        if years is None and self.without_years is not None and uses_years(self.text):
            return self.without_years
        return self.text


def uses_years(template: str) -> bool:
    """True when the template contains `{years}`."""
    return "{years}" in template and _YEARS.match(template) is not None


def mistake(template: str, *, years: bool = True, one_line: bool = False) -> str | None:
    """Describe the first mistake of a template with its place, or return None. `one_line`: it is a subject.

    `years`: the placeholder `{years}` is allowed.
    """
    most = MAX_SUBJECT if one_line else MAX_TEXT
    if not template.strip():
        return "expected some text"
    if len(template) > most:
        return f"expected at most {most} characters, not {len(template)}"
    if "\0" in template or not is_unicode(template):
        return "expected text that UTF-8 and the database can hold"
    if one_line and (found := _LINE_BREAKING.search(template)):
        return f"{_place(template, found.start())}: expected one line without control characters"
    matched = (_WITH_YEARS if years else _WITHOUT_YEARS).match(template)
    assert matched is not None  # noqa: S101 - it matches the empty text
    if (at := matched.end()) == len(template):
        return None
    allowed = ", ".join(f"{{{name}}}" for name in ((*NAMES, YEARS) if years else NAMES))
    return f"{_place(template, at)}: expected {allowed}, or {{{{ and }}}} for a brace itself"


def _place(template: str, at: int) -> str:
    """Return the text around position `at`, with the position: ``"Dear {name", column 6``."""
    line = template.count("\n", 0, at)
    column = at - template.rfind("\n", 0, at)
    shown = template[max(0, at - SHOWN_BEFORE) : at + SHOWN_AFTER].replace("\n", " ")
    return f"`{shown}`, " + (f"line {line + 1}, column {column}" if line else f"column {column}")


def mistakes(text: Text, *, default: bool) -> list[tuple[str, str]]:
    """The mistakes of a text as pairs of a field (`subject`, `text`, `textWithoutYears`) and a sentence."""
    found: list[tuple[str, str | None]] = []
    if text.subject is not None:
        found.append(("subject", mistake(text.subject, years=False, one_line=True)))
    elif default:
        found.append(("subject", "expected some text"))
    found.append(("text", mistake(text.text)))
    if text.without_years is None:
        if uses_years(text.text):
            found.append(("textWithoutYears", "expected a text without {years}, for dates whose year is unknown"))
    elif mistake(text.text) is None and not uses_years(text.text):
        found.append(("textWithoutYears", "expected null: the text does not use {years}"))
    else:
        found.append(("textWithoutYears", mistake(text.without_years, years=False)))
    return [(field, sentence) for field, sentence in found if sentence is not None]


def is_unicode(text: str) -> bool:
    """False for text with lone surrogates, which bytes become that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def render(template: str, first_name: str, last_name: str | None, years: int | None = None) -> str:
    """The text for that name. Braces in a name stay as they are. Raises InvalidText."""
    fill = _filler(template)
    full_name = first_name if last_name is None else f"{first_name} {last_name}"
    return fill(
        full_name=full_name, first_name=first_name, last_name=last_name or "", years="" if years is None else years
    )


@lru_cache(maxsize=1024)  # an entry for each text in practice
def _filler(template: str) -> Callable[..., str]:
    # `str.format` is harmless and fast once the template is known to hold plain field names only: it looks into no
    # attribute or format of what it inserts, and never reads the inserted text again.
    if (found := mistake(template)) is not None:
        raise InvalidText(f"template: {found}")
    return template.format


def lookup(locale: str | None, languages: Iterable[str]) -> str | None:
    """The language of these that fits the locale best, by the lookup of RFC 4647, 3.4; None: the default.

    `de-AT` finds `de-AT`, else `de`. Upper and lower case are the same.
    """
    if not locale:
        return None
    known = {language.lower(): language for language in languages}
    parts = locale.lower().split("-")
    while parts:
        if (found := known.get("-".join(parts))) is not None:
            return found
        parts.pop()
    return None


def text_for(default: Text, texts: Mapping[str, Text], locale: str | None) -> tuple[str | None, Text]:
    """The language and the text for that locale; the language of the default text is None."""
    language = lookup(locale, texts)
    if language is None:
        return None, default
    chosen = texts[language]
    return language, Text(chosen.subject or default.subject, chosen.text, chosen.without_years)
