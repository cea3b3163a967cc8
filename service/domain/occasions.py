"""Occasions as data: the name, the texts of the greeting, and the rules for its instant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import lru_cache
from typing import NamedTuple

from service.domain.calendar import MAX_OFFSET_DAYS, LeapDay, Weekend
from service.domain.holds import EVERYTHING
from service.domain.languages import language_tag
from service.domain.texts import MAX_LANGUAGES, Text
from service.domain.texts import mistakes as text_mistakes

_CODE = re.compile(r"[a-z][a-z0-9_]{0,31}")

CODE_EXPECTED = "expected 1 to 32 of a-z, 0-9 and underscore, the first of them a letter"

MOST_OCCASIONS = 100
"""Occasions there may be. Each is a label of metrics and a field of every user."""

MOST_SHOWN = 300
"""Characters of a problem that are shown."""

DEFAULT_SUBJECT = "A greeting for you"
"""The subject of an occasion that was made without one."""


class InvalidOccasion(ValueError):
    """An occasion's code, time of day or rule is not what it must be."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One kind of day that users have. `code` is its value in the database, in JSON and in metrics.

    `texts` maps language tags to texts. `send_at` is the local time of day, in whole seconds; with `leap_day`, None
    means that the defaults decide. `offset_days` is days before (< 0) or after the date.
    """

    code: str
    default: Text
    texts: Mapping[str, Text] = field(default_factory=dict)
    send_at: time | None = None
    leap_day: LeapDay | None = None
    weekend: Weekend = Weekend.KEEP
    offset_days: int = 0
    active: bool = True

    def mistakes(self) -> list[tuple[str, str]]:
        """Its mistakes, as pairs of a JSON field and a sentence."""
        found = [] if is_code(self.code) else [("code", CODE_EXPECTED)]
        if self.code == EVERYTHING:
            found.append(("code", f"expected another code than `{EVERYTHING}`, which stands for every occasion"))
        found += text_mistakes(self.default, default=True)
        if len(self.texts) > MAX_LANGUAGES:
            found.append(("texts", f"expected at most {MAX_LANGUAGES} languages"))
        for language, text in self.texts.items():
            if language_tag(language) != language:
                found.append((f"texts.{language}", "expected a language tag (BCP 47) such as `de` or `pt-BR`"))
            found += [(f"texts.{language}.{name}", sentence) for name, sentence in text_mistakes(text, default=False)]
        if self.send_at is not None and (self.send_at.tzinfo is not None or self.send_at.microsecond):
            found.append(("sendAt", "expected a time of day in whole seconds, without a zone"))
        if abs(self.offset_days) > MAX_OFFSET_DAYS:
            found.append(("offsetDays", f"expected -{MAX_OFFSET_DAYS} to {MAX_OFFSET_DAYS}"))
        return found


def is_code(text: str) -> bool:
    """True when the text is spelled like the code of an occasion."""
    return _CODE.fullmatch(text) is not None


BIRTHDAY = Occasion("birthday", Text("Happy birthday", "Hey, {full_name} it's your birthday"))
ANNIVERSARY = Occasion("anniversary", Text("Happy anniversary", "Hey, {full_name} it's your anniversary"))

DEFAULTS = (BIRTHDAY, ANNIVERSARY)
"""The occasions heyday comes with."""


class StoredOccasion(NamedTuple):
    """The columns of an occasion that planning reads. `send_at` is text: only PostgreSQL knows 24:00."""

    code: str
    template: str
    send_at: str | None = None
    leap_day: str | None = None
    weekend: str = Weekend.KEEP
    offset_days: int = 0
    active: bool = True
    active_since: datetime | None = None
    subject: str | None = None
    template_with_years: str | None = None
    texts: str = "{}"
    """JSON: a text for each language."""


@dataclass(frozen=True, slots=True)
class OccasionRow:
    """An occasion as planning knows it. `send_at` and `leap_day` are None where the defaults decide.

    An inactive occasion is not planned. No user is greeted for an instant up to `active_since`.
    """

    code: str
    template: str
    send_at: time | None
    leap_day: str | None
    weekend: Weekend = Weekend.KEEP
    offset_days: int = 0
    active: bool = True
    active_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class OccasionProblem:
    """A mistake in a stored occasion. One that is `left_out` takes no part in planning and in the API."""

    code: str
    sentence: str
    left_out: bool
    offset_days: int = 0

    @property
    def shown(self) -> str:
        """The sentence, which may quote a text, in `MOST_SHOWN` characters at most."""
        return self.sentence[:MOST_SHOWN]

    def __str__(self) -> str:
        """The problem, and what follows from it until it is corrected."""
        return f"{self.shown}; {'it is left out' if self.left_out else 'its greetings fail'} until you correct it"


def understand(
    rows: Iterable[StoredOccasion],
) -> tuple[tuple[OccasionRow, ...], tuple[OccasionProblem, ...]]:
    """Parse stored occasions, in the order of their codes.

    The database refuses to store what cannot be understood. A row that is there all the same leaves out its own
    occasion and no other. A text that cannot be rendered is a problem, but leaves nothing out: it takes no part in
    planning, and its messages fail with a reason.
    """
    occasions: list[OccasionRow] = []
    problems: list[OccasionProblem] = []
    fields: dict[str, str] = {}
    for stored in rows:
        code = stored.code
        try:
            if not is_code(code):
                raise InvalidOccasion(f"code {code!a}: {CODE_EXPECTED}")
            if stored.leap_day is not None:
                LeapDay(stored.leap_day)
            row = OccasionRow(
                code,
                stored.template,
                time_of_day(stored.send_at),
                stored.leap_day,
                Weekend(stored.weekend),
                stored.offset_days,
                stored.active,
                stored.active_since,
            )
            wrong = _text_mistakes(stored)
            if (other := fields.setdefault(date_field(code), code)) != code:
                raise InvalidOccasion(f"code {code!a}: occasion {other!a} has the same JSON field")
        except ValueError as error:
            problems.append(OccasionProblem(code, str(error), left_out=True, offset_days=stored.offset_days))
            continue
        occasions.append(row)
        problems += (OccasionProblem(code, f"{field}: {sentence}", left_out=False) for field, sentence in wrong)
    return tuple(occasions), tuple(problems)


def _text_mistakes(stored: StoredOccasion) -> list[tuple[str, str]]:
    default = default_text(stored.subject, stored.template, stored.template_with_years)
    return text_mistakes(default, default=stored.subject is not None) + [
        (f"texts.{tag}.{field}", sentence)
        for tag, text in texts_of(stored.texts).items()
        for field, sentence in text_mistakes(text, default=False)
    ]


def default_text(subject: str | None, template: str, template_with_years: str | None) -> Text:
    """The text without a language, from its columns."""
    return Text(subject, template_with_years or template, template if template_with_years else None)


def texts_of(document: str) -> dict[str, Text]:
    """Parse stored texts, by language. Raises InvalidOccasion for JSON of another shape."""
    given = json.loads(document)
    if not isinstance(given, dict):
        raise InvalidOccasion("texts: expected an object with a text for each language")
    texts: dict[str, Text] = {}
    for tag, one in given.items():
        parts = one if isinstance(one, dict) else {}
        subject, text, without_years = (parts.get(name) for name in ("subject", "text", "textWithoutYears"))
        if not isinstance(text, str) or not all(
            part is None or isinstance(part, str) for part in (subject, without_years)
        ):
            raise InvalidOccasion(f"texts.{tag}: expected an object with a text")
        texts[tag] = Text(subject, text, without_years)
    return texts


def time_of_day(text: str | None) -> time | None:
    """Parse a stored time of day. Raises InvalidOccasion for what PostgreSQL has and Python has not: 24:00."""
    try:
        found = None if text is None else time.fromisoformat(text)
    except ValueError as error:
        raise InvalidOccasion(f"send_at {text!a}: expected a time of day from 00:00 to 23:59:59") from error
    if found is not None and found.microsecond:
        raise InvalidOccasion(f"send_at {text!a}: expected a time of day in whole seconds")
    return found


@lru_cache(maxsize=64)
def date_field(code: str) -> str:
    """The JSON field of an occasion's date: `birthday` has `birthdayDate`, `name_day` has `nameDayDate`."""
    return re.sub(r"_+([a-z0-9]?)", lambda match: match[1].upper(), code) + "Date"
