"""The holds: what may not be sent, with start, author and reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from service.domain.holds import Hold
from service.ports.audit import Principal
from service.ports.requests import Keep


class Holds(Protocol):
    """The rows of holds. Every method raises Unavailable. A change is recorded in the audit log with it."""

    async def active(self) -> list[Hold]:
        """The active holds, oldest first: at most `MOST_ACTIVE`. Every node reads them several times a second."""

    async def page(self, *, after: UUID | None, limit: int) -> list[Hold]:
        """All holds, ended ones too, newest first; `after` is the last of the page before."""

    async def create(
        self,
        *,
        occasion: str | None,
        reason: str,
        by: Principal,
        until: datetime | None = None,
        lasts: timedelta | None = None,
        keep: Callable[[Hold], Keep | None] = lambda _hold: None,
    ) -> Hold:
        """Hold an occasion, or everything, until that instant, for that time from now, or until it is released.

        Once it returns, no node begins a call that it covers later than `MAX_AGE` (service.node.sending_holds).
        The same transaction keeps the response that `keep` makes, if any. Raises ReservationLost. Raises HoldRefused
        when there is no such occasion, when the hold would have ended already, or when there are `MOST_ACTIVE`.
        """

    async def release(self, ids: Sequence[UUID], *, by: Principal) -> list[Hold]:
        """End these holds. Returns each that exists, also one that had ended before."""
