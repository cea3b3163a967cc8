"""What an occasion is: data that names it, words its greeting, and says when on the day it is due."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from functools import lru_cache

from service.domain.calendar import NINE, LeapDay

_CODE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TEMPLATE = re.compile(r"(?:[^{}]|\{\{|\}\}|\{(?:full_name|first_name|last_name)\})*")


class InvalidOccasion(ValueError):
    """An occasion's code, template, time of day or leap-day rule is not what it must be."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One kind of day that users have. `code` is its value in the database, in JSON and in metrics.

    `template` may contain `{full_name}`, `{first_name}` and `{last_name}`; a brace itself is written twice.
    `send_at` is the local time of day, in whole seconds. Raises InvalidOccasion.
    """

    code: str
    template: str
    send_at: time = NINE
    leap_day: LeapDay = LeapDay.FEB28

    def __post_init__(self) -> None:
        if not is_code(self.code):
            raise InvalidOccasion(
                f"code {self.code!a}: expected 1 to 32 of a-z, 0-9 and underscore, the first of them a letter"
            )
        _filler(self.template)
        if self.send_at.tzinfo is not None or self.send_at.microsecond:
            raise InvalidOccasion(f"send_at {self.send_at}: expected a time of day in whole seconds, without a zone")
        if not isinstance(self.leap_day, LeapDay):
            raise InvalidOccasion(f"leap_day {self.leap_day!r}: expected one of {', '.join(LeapDay)}")


def is_code(text: str) -> bool:
    """Whether the text is spelled like the code of an occasion."""
    return _CODE.fullmatch(text) is not None


def render(template: str, first_name: str, last_name: str) -> str:
    """The greeting for that name. Whatever braces a name has stay as they are. Raises InvalidOccasion."""
    fill = _filler(template)
    return fill(full_name=f"{first_name} {last_name}", first_name=first_name, last_name=last_name)


@lru_cache(maxsize=256)  # one entry an occasion in practice; bounded should templates ever come from users
def _filler(template: str) -> Callable[..., str]:
    # `str.format` is harmless and fast once the template is known to hold plain field names only: it looks into no
    # attribute or format of what it inserts, and never reads the inserted text again.
    if not _TEMPLATE.fullmatch(template):
        raise InvalidOccasion(
            f"template {template!a}: expected no braces but {{full_name}}, {{first_name}}, {{last_name}}, "
            "and {{ or }} for a brace itself"
        )
    if not template.strip():
        raise InvalidOccasion("template: expected some text")
    if "\0" in template or not _is_unicode(template):
        raise InvalidOccasion(f"template {template!a}: expected text that UTF-8 and the database can hold")
    return template.format


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


BIRTHDAY = Occasion("birthday", "Hey, {full_name} it's your birthday")
ANNIVERSARY = Occasion("anniversary", "Hey, {full_name} it's your anniversary")

DEFAULTS = (BIRTHDAY, ANNIVERSARY)
"""The occasions heyday comes with."""
