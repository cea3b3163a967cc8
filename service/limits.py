"""The values of run-time limits: parsed as their settings are, and written in one way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from service.domain.limits import LimitName
from service.environment import Rate, one_of, rate, whole_number

LOG_LEVELS = ("debug", "info", "warning", "error")

MAX_CONCURRENCY = 10_000

RATE_PATTERN = "^(off|[1-9][0-9]{0,5}(/[smh])?)$"
"""A rate as it is taken for a limit. A setting may have a fraction, too."""

_UNITS = {1.0: "s", 60.0: "m", 3600.0: "h"}

PARSERS: Mapping[LimitName, Callable[[str], Any]] = MappingProxyType(
    {
        LimitName.EMAIL_RATE: rate,
        LimitName.EMAIL_CONCURRENCY: whole_number(1, MAX_CONCURRENCY),
        LimitName.LOG_LEVEL: one_of(*LOG_LEVELS),
    }
)
"""By limit: the parser of its setting. It raises ValueError with the text of what was expected."""


def shown(value: object) -> str:
    """Write a value as in a setting: `50/s`, `off` for no rate, a number, or a level."""
    match value:
        case None:
            return "off"
        case Rate(per_second=per_second, seconds=seconds):
            # One rate is written in one way, so that nodes can be compared: per second if that is a whole number.
            seconds = 1.0 if per_second == round(per_second) else seconds
            return f"{round(per_second * seconds, 6):.10g}/{_UNITS[seconds]}"
        case _:
            return str(value)


def checked(name: LimitName, text: str) -> str:
    """Return a value as it is stored. Raises ValueError with the text of what was expected."""
    if name is LimitName.EMAIL_RATE and not re.fullmatch(RATE_PATTERN, text):
        raise ValueError("a whole number of calls, such as 100/s, 30/m or 5/h, or off")
    return shown(PARSERS[name](text))
