"""The rows by which nodes share planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Planned:
    """Business time, the instant up to which planning is announced, and that up to which it is complete."""

    now: datetime
    announced: datetime
    complete: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """One occasion's one day (`month_day` is month * 100 + day) in one local year."""

    occasion: str
    local_year: int
    month_day: int


@dataclass(frozen=True, slots=True)
class PlanRange:
    """Users of one day, after `after_user` and up to `until_user`, for the instants in [starts_at, ends_at)."""

    day: Day
    after_user: UUID | None
    until_user: UUID | None
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class OccasionRow:
    """An occasion as stored: None where the node's settings decide."""

    code: str
    template: str
    send_at: time | None
    leap_day: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The instant that a user's occasion should have in a local year; None: it has none."""

    occasion: str
    local_year: int
    send_at: datetime | None


class Planning(Protocol):
    """The rows by which nodes share planning. Every method raises Unavailable."""

    async def occasions(self) -> list[OccasionRow]:
        """Every occasion."""

    async def planned(self) -> Planned:
        """How far planning is."""

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[Day]
    ) -> list[int] | None:
        """In one transaction: write down the run, the ranges of `days` from the announced instant to `up_to`, and
        announce it. Returns the ids of the ranges; None when this run has been made by somebody already."""

    async def open_ranges(self, *, older_than: float, limit: int) -> list[int]:
        """Ranges announced more than `older_than` seconds ago and not planned."""

    async def plan(
        self, range_id: int, instants: Callable[[PlanRange], Sequence[tuple[str, datetime]]], *, tzdata: str
    ) -> int | None:
        """In one transaction: take the range and make its messages, given the instant of each zone.

        Returns how many messages were made; None when the range was planned, or is being planned, by somebody else.
        """
