"""Which release of the zone data the unsent messages follow, and how they are made to follow another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.ports.planning import Day


@dataclass(frozen=True, slots=True)
class Followed:
    """`release`: every unsent message follows at least this one; None: none was ever planned. `up_to`: how far planning
    is announced. `agreed`: every living node has the release of the one that asks."""

    release: str | None
    up_to: datetime
    agreed: bool


@dataclass(frozen=True, slots=True)
class UnsentDay:
    """So many unsent messages of one day in one zone, all due at `send_at`."""

    day: Day
    timezone: str
    send_at: datetime
    messages: int


@dataclass(frozen=True, slots=True)
class Shifted:
    """Messages whose instant is another by newer zone data."""

    unsent: UnsentDay
    send_at: datetime


class ZoneData(Protocol):
    """The release of one node among those of the others. Every method raises Unavailable."""

    async def followed(self) -> Followed:
        """Which release the unsent messages follow."""

    async def unsent(self) -> list[UnsentDay]:
        """The unsent messages that were planned with another release than ours; without those that a person redrove."""

    async def follow(
        self, shifted: Sequence[Shifted], *, days: Sequence[Day], starts_at: datetime, ends_at: datetime
    ) -> list[int]:
        """In one transaction: move what is shifted, have `days` planned again for the instants in [starts_at, ends_at),
        and note our release as followed if all living nodes have it. Returns the ids of the ranges to plan."""

    async def fall_back(self) -> None:
        """Note that ours, an older release, is in use again: what we plan is to be looked at by newer nodes."""
