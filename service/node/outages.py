"""Which servers are away, since when and why: an outage is one log line when it begins and one when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.ports import Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outage:
    """A server that is away: the first reason given, and the steady-clock second it began."""

    system: str
    reason: str
    since: float


class Outages:
    """What the actors of a node have met. An outage is over when everybody who met it has got through again.

    `on_change` is told of each that begins (True) and ends (False), by the server's name.
    """

    def __init__(
        self,
        steady: Callable[[], float] = time.monotonic,
        *,
        on_change: Callable[[str, bool], None] = lambda _system, _began: None,
    ) -> None:
        self._steady = steady
        self._on_change = on_change
        self._outages: dict[str, Outage] = {}
        self._began = steady()
        self._back: dict[str, float] = {}
        self._waiting: dict[str, set[str]] = {}

    def met(self, who: str, error: Unavailable) -> None:
        """`who` could not reach a server: the one it waits for now, whichever it waited for before."""
        self._passed(who, [system for system in self._waiting if system != error.system])
        self._waiting.setdefault(error.system, set()).add(who)
        if error.system not in self._outages:
            self._outages[error.system] = Outage(error.system, error.reason, self._steady())
            log.warning("outage_began", system=error.system, reason=error.reason)
            self._on_change(error.system, True)

    def passed(self, who: str) -> None:
        """`who` got its work done: whatever it was waiting for is back."""
        self._passed(who, list(self._waiting))

    def _passed(self, who: str, systems: list[str]) -> None:
        for system in systems:
            waiting = self._waiting[system]
            waiting.discard(who)
            if not waiting:
                del self._waiting[system]
                outage = self._outages.pop(system)
                self._back[system] = self._steady()
                log.info("outage_ended", system=system, seconds=round(self._steady() - outage.since, 3))
                self._on_change(system, False)

    def state(self, system: str) -> tuple[bool, float]:
        """Whether a server is away, and the steady-clock second since when that is so, as far as anybody here knows."""
        if system in self._outages:
            return True, self._outages[system].since
        return False, self._back.get(system, self._began)

    def current(self) -> list[Outage]:
        """The outages that go on."""
        return list(self._outages.values())
