"""Holds: the decision of a person that everything, or one occasion, is not sent for a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

EVERYTHING = "all"
"""The name of a hold of everything where an occasion would stand: in metrics, logs and tables."""

MAX_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold of one occasion, or of everything where `occasion` is None. It ends at `until`, or when it is released."""

    id: UUID
    occasion: str | None
    reason: str
    author: str
    created_at: datetime
    until: datetime | None
    released_at: datetime | None = None
    released_by: str | None = None

    def active(self, now: datetime) -> bool:
        """True while nothing that it covers may be sent."""
        return self.released_at is None and (self.until is None or now < self.until)

    def covers(self, occasion: str) -> bool:
        """True when messages of that occasion are held."""
        return self.occasion is None or self.occasion == occasion

    @property
    def subject(self) -> str:
        """The occasion, or `all`."""
        return self.occasion or EVERYTHING

    @property
    def words(self) -> str:
        """The occasion, or `everything`, for people."""
        return self.occasion or "everything"

    def __str__(self) -> str:
        end = f"until {_minute(self.until)}" if self.until else "until it is released"
        return f"{self.words} is held since {_minute(self.created_at)} {end}, by {self.author}: {self.reason}"


def hold_of(holds: Iterable[Hold], occasion: str) -> Hold | None:
    """The hold among active ones that covers an occasion: of several, the one that ends last."""
    found = [one for one in holds if one.covers(occasion)]
    return max(found, key=lambda one: (one.until is None, one.until or one.created_at)) if found else None


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
