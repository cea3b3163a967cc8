"""The outages of servers, with start and reason. An outage is one log line at its start and one at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.ports import Unavailable

log = structlog.get_logger(__name__)

ORDER = ("postgres", "redis", "rabbitmq", "cluster")
"""An actor that needs several servers asks them in this order, and compares the cluster of the database last.

An actor that meets the outage of an earlier one does not come as far as to see a later one come back.
"""


@dataclass(frozen=True, slots=True)
class Outage:
    """A server that is away: the first reason, and the start in seconds of the steady clock."""

    system: str
    reason: str
    since: float


class Outages:
    """The outages that the actors of a node met. An outage ends when every actor that met it has succeeded again.

    `on_change` gets the name of the server, and True at the start or False at the end of its outage.
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
        """Note that `who` waits for the server of `error`, and for no other that it needs before."""
        before = ORDER[: ORDER.index(error.system)] if error.system in ORDER else ()
        self._passed(who, [system for system in self._waiting if system in before])
        self._waiting.setdefault(error.system, set()).add(who)
        if error.system not in self._outages:
            self._outages[error.system] = Outage(error.system, error.reason, self._steady())
            log.warning("outage_began", system=error.system, reason=error.reason)
            self._on_change(error.system, True)

    def passed(self, who: str) -> None:
        """Note that `who` did its work, so that it waits for no server."""
        self._passed(who, list(self._waiting))

    def _passed(self, who: str, systems: list[str]) -> None:
        for system in systems:
            waiting = self._waiting[system]
            waiting.discard(who)
            if not waiting:
                del self._waiting[system]
                outage = self._outages.pop(system)
                self._back[system] = self._steady()
                log.info("outage_ended", system=system, seconds=round(self.seconds(outage), 3))
                self._on_change(system, False)

    def state(self, system: str) -> tuple[bool, float]:
        """True while a server is away, and the second of the steady clock since which that is known."""
        if system in self._outages:
            return True, self._outages[system].since
        return False, self._back.get(system, self._began)

    def seconds(self, outage: Outage) -> float:
        """Seconds for which a current outage has lasted."""
        return self._steady() - outage.since

    def current(self) -> list[Outage]:
        """The current outages."""
        return list(self._outages.values())
