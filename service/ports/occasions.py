"""The rows of occasions, for reading and writing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.occasions import Occasion
from service.ports.audit import Principal


@dataclass(frozen=True, slots=True)
class OccasionEntry:
    """A stored occasion. `version` grows with every change, `text_version` with every change of a text.

    No greeting is sent for an instant up to `active_since`. None: it was always active, or never.
    """

    occasion: Occasion
    version: int
    text_version: int
    active_since: datetime | None
    created_at: datetime
    updated_at: datetime


class Occasions(Protocol):
    """The rows of occasions. Every method raises Unavailable.

    A change of a rule raises the version of the planning rules in its transaction: from then on no message of the
    occasion is handed out before it is planned again. A change of a text applies to every later claim.
    """

    async def all(self) -> list[OccasionEntry]:
        """Every occasion, in the order of the codes."""

    async def get(self, code: str) -> OccasionEntry | None:
        """One occasion, or None."""

    async def put(
        self, occasion: Occasion, *, version: int | None = None, create_only: bool = False, by: Principal
    ) -> tuple[OccasionEntry, bool]:
        """Create or replace an occasion. True if it was created. An equal one changes nothing.

        `version` is that which the row must have; with `create_only` there must be no row. The same transaction adds
        the change to the audit log. Raises OccasionChanged, TooManyOccasions, and RowRefused for what the database
        refuses.
        """

    async def delete(self, code: str, *, version: int | None = None, by: Principal) -> bool:
        """Delete an occasion; False when there is none. Raises OccasionChanged, OccasionInUse."""
