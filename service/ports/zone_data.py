"""The release of the zone data that unsent messages follow, and the moves to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.planning import OccasionDay, TzdataMove, UnsentDay


@dataclass(frozen=True, slots=True)
class Followed:
    """The release of the zone data that unsent messages follow.

    Every unsent message follows at least `release`; None when nothing was ever planned. Planning is announced up to
    `planned_until`. `agreed`: every living node has the release of the node that asks. `latest_node` is the highest
    incarnation of any node so far, 0 before the first.
    """

    release: str | None
    planned_until: datetime
    agreed: bool
    latest_node: int


class ZoneData(Protocol):
    """The release of one node among those of the others. Every method raises Unavailable."""

    async def followed(self) -> Followed:
        """The release that the unsent messages follow."""

    async def unsent(self) -> list[UnsentDay]:
        """The unsent messages that were planned with another release than ours; without those that a person redrove."""

    async def follow(
        self,
        moves: Sequence[TzdataMove],
        *,
        days: Sequence[OccasionDay],
        starts_at: datetime,
        ends_at: datetime,
        read: Followed,
    ) -> list[int]:
        """Apply `moves`. In one transaction, have `days` planned again for the instants in [starts_at, ends_at), and
        note our release as followed. Returns the ids of the ranges to plan.

        `read` is what `followed` answered before `unsent` was read. The release is not noted if another node has had
        another one since: what that node planned after the reading is not among the moves.
        """

    async def fall_back(self) -> None:
        """Note that ours, an older release, is in use again: what we plan is to be looked at by newer nodes."""
