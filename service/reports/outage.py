"""The cost of an outage: which greetings would be late, by how much, and which would expire, if no node ran.

It changes nothing and plans nothing. The preview finds the greetings with the planner's own code. A ticker that starts
after the outage sends each once, oldest first, or lets it expire, as `claim_due` decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.messages import Status
from service.reports.eligibility import EXPECTED, LeftOut, Prospect

_GREETED = frozenset({EXPECTED, *Status} - {Status.CANCELLED, Status.EXPIRED})
_ATTEMPTED = frozenset({None, LeftOut.FAILED, LeftOut.UNKNOWN})
"""A greeting that failed had been due, too, and would have been late."""


@dataclass(frozen=True, slots=True)
class OutageCost:
    """A greeting that would leave `late` after its instant, at the end of the outage; or it would have expired."""

    leaves_at: datetime | None
    late: timedelta

    @property
    def expired(self) -> bool:
        """True when it would be too late to send."""
        return self.leaves_at is None


@dataclass(slots=True)
class OutageTotal:
    """The cost of an outage for all greetings."""

    late: int = 0
    latest: timedelta = timedelta()
    expired: int = 0

    def add(self, cost: OutageCost | None) -> None:
        """Add the cost for one greeting."""
        if cost is None:
            return
        if cost.expired:
            self.expired += 1
        else:
            self.late += 1
            self.latest = max(self.latest, cost.late)

    def __str__(self) -> str:
        late = f"{self.late} would have been late" + (f", by {self.latest} at most" if self.late else "")
        return f"Had no node run in that time: {late}; {self.expired} would have expired."


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which no node runs, from `starts_at` to `ends_at` (exclusive)."""

    starts_at: datetime
    ends_at: datetime
    late_limit: timedelta

    def cost(self, found: Prospect) -> OutageCost | None:
        """The cost for one greeting; None if its instant lies outside of the outage, or there is no greeting."""
        if found.send_at is None or not self.starts_at <= found.send_at < self.ends_at:
            return None
        if found.left_out not in _ATTEMPTED or found.status not in _GREETED:
            return None
        late = self.ends_at - found.send_at
        return OutageCost(self.ends_at if late <= self.late_limit else None, late)
