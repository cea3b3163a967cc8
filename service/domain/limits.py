"""Run-time limits: values for all nodes that a person sets while they run, and that stand above the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LimitName(StrEnum):
    """The limits. Each has the name of its setting, in lower case and without the prefix."""

    EMAIL_RATE = "email_rate"
    EMAIL_CONCURRENCY = "email_concurrency"
    LOG_LEVEL = "log_level"

    @property
    def variable(self) -> str:
        """The variable of the setting that decides where there is no limit."""
        return f"HEYDAY_{self.value.upper()}"


class Source(StrEnum):
    """The origin of an effective value."""

    LIMIT = "limit"
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class LimitChange:
    """The latest change of a limit. `value` is None when it was removed. A later change has a higher version."""

    name: LimitName
    value: str | None
    version: int
    author: str
    changed_at: datetime

    @property
    def slows(self) -> bool:
        """True if it is in effect and allows only so many calls."""
        return self.name is not LimitName.LOG_LEVEL and self.value not in (None, "off")
