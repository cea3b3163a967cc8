"""The rows through which nodes share planning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.planning import CalendarDefaults, OccasionDay, PlanningRules
from service.domain.rules import RulesState


@dataclass(frozen=True, slots=True)
class Planned:
    """Business time, the instant up to which planning is announced, and the instant up to which it is complete."""

    now: datetime
    announced: datetime
    complete: datetime


class Planning(Protocol):
    """The rows through which nodes share planning. Every method raises Unavailable.

    An instance has the defaults of its node, which count only while no node has written any.
    """

    async def rules(self) -> PlanningRules:
        """The rules in force, with every occasion that is understood."""

    async def rules_state(self) -> RulesState:
        """The input of `service.domain.rules`."""

    async def change_rules(
        self, version: int, defaults: CalendarDefaults | None, *, incarnation: int
    ) -> list[int] | None:
        """In one transaction: write the defaults (None: keep them) and announce ranges that plan again what is unsent.

        Returns the ids of the ranges; None when the rules are not of `version` any more.
        """

    async def settle_rules(self, version: int) -> None:
        """Forget the replaced defaults, if every living node has those of `version`."""

    async def planned(self) -> Planned:
        """The progress of planning."""

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[OccasionDay]
    ) -> list[int] | None:
        """In one transaction: record the run, announce `up_to`, and write the ranges of `days` up to there.

        Returns the ids of the ranges; None when this run was made before.
        """

    async def open_ranges(self, *, older_than: float, limit: int | None, after: int = 0) -> list[int]:
        """Ranges with ids above `after` that were announced more than `older_than` seconds ago and are not planned.

        Lowest ids first; `limit` None: all of them.
        """

    async def plan(self, range_id: int, rules: PlanningRules, *, tzdata: str) -> int | None:
        """In one transaction: take the range and make, or move, its messages by `rules`.

        Returns how many messages were made or moved; None when there is nothing to do: another node plans the range or
        has planned it, or its occasion is left out, and the range stays. Raises RulesChanged when `rules` have a
        version that is not in force.
        """
