"""The run-time limits as a running node keeps them: for each the value in effect, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.limits import LimitChange, LimitName, Source
from service.environment import Rate
from service.limits import PARSERS, shown
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """The value in effect, and that of the setting, both as in a setting. `change` is the latest one, if any."""

    value: str
    source: Source
    setting: str
    change: LimitChange | None


class NodeLimits:
    """Starts with the settings. Only the holds reader renews it, before it renews the holds.

    A call begins by a recent reading of the holds alone, and so by limits that are as recent.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Mapping[LimitName, Any] = {name: getattr(settings, name) for name in LimitName}
        self._changes: dict[LimitName, LimitChange] = {}
        self._values = dict(self._settings)

    def renew(self, changes: Iterable[LimitChange]) -> list[LimitName]:
        """Use a reading. Returns the names of the limits whose latest change is another one than before."""
        read = {one.name: one for one in changes}
        changed = [name for name in LimitName if self._changes.get(name) != read.get(name)]
        self._changes = read
        for name in changed:
            value = read[name].value if name in read else None
            self._values[name] = self._settings[name] if value is None else PARSERS[name](value)
        return changed

    @property
    def email_rate(self) -> float | None:
        """Calls of the primary email service per second over all nodes; None without a limit."""
        rate: Rate | None = self._values[LimitName.EMAIL_RATE]
        return rate.per_second if rate is not None else None

    @property
    def email_concurrency(self) -> int:
        """Calls of an email service that a node may have in flight."""
        return int(self._values[LimitName.EMAIL_CONCURRENCY])

    @property
    def log_level(self) -> str:
        """The level of the log."""
        return str(self._values[LimitName.LOG_LEVEL])

    def version(self, name: LimitName) -> int:
        """The version of the latest change; 0 if there was none."""
        change = self._changes.get(name)
        return change.version if change is not None else 0

    def effective(self) -> dict[LimitName, EffectiveLimit]:
        """Every limit as it is in effect here."""
        return {name: self._effective(name) for name in LimitName}

    def _effective(self, name: LimitName) -> EffectiveLimit:
        change = self._changes.get(name)
        source = Source.SETTING if change is None or change.value is None else Source.LIMIT
        return EffectiveLimit(shown(self._values[name]), source, shown(self._settings[name]), change)
