"""Keeps the planning rules in the database, and plans again what is unsent when they change.

All nodes plan by the rules in the database. A node that starts with another `HEYDAY_SEND_AT` or `HEYDAY_LEAP_DAY`
writes its own there; `service.domain.rules` decides when it may. An occasion that was changed by SQL is noticed here,
too. One transaction makes the change and the ranges that plan again; planners then work through the ranges.
"""

from __future__ import annotations

from typing import Never

import structlog

from actors.context import NodeContext
from actors.periodic import FIRST_WAIT, LeasedActor
from service.domain.occasions import OccasionProblem
from service.domain.planning import CalendarDefaults
from service.domain.rules import RulesState, RulesStep, next_step
from service.ports import Planning, WorkStream

log = structlog.get_logger(__name__)

RULES_POLL_INTERVAL = 5.0
"""Seconds between two checks of the rules, each a read of a few rows."""


class _Duration:
    """Measures for how long a condition has held, by a steady clock."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self, now: float, *, holds: bool) -> float:
        """Note if the condition holds at `now`. Return the seconds for which it has held."""
        if not holds:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = now
        return now - self._since


class RulesUpdater(LeasedActor[Never]):
    """Compares the rules in the database with this node's own `defaults`."""

    def __init__(self, node: NodeContext, planning: Planning, plan: WorkStream, *, defaults: CalendarDefaults) -> None:
        super().__init__(node)
        self._planning = planning
        self._plan = plan
        self._defaults = defaults
        self._unsupported, self._agreed = _Duration(), _Duration()
        self._differing_version: int | None = None
        self._problems: frozenset[OccasionProblem] = frozenset()

    async def run_leased(self) -> float:
        incarnation = self.node.lease.incarnation
        state = await self._planning.rules_state()
        step = next_step(
            state,
            self._defaults,
            started_as=self.node.lease.first_incarnation or incarnation,
            unsupported_for=self._unsupported.seconds(self.node.clock.steady(), holds=not state.supported),
            agreed_for=self._agreed.seconds(self.node.clock.steady(), holds=state.agreed),
        )
        match step:
            case RulesStep.WRITE:
                return await self._change(state, self._defaults, incarnation)
            case RulesStep.REPLAN:
                return await self._change(state, None, incarnation)
            case RulesStep.SETTLE:
                await self._planning.settle_rules(state.version)
            case RulesStep.NONE:
                pass
        await self._report(state)
        return RULES_POLL_INTERVAL

    async def _change(self, state: RulesState, defaults: CalendarDefaults | None, incarnation: int) -> float:
        ranges = await self._planning.change_rules(state.version, defaults, incarnation=incarnation)
        if ranges is None:
            return FIRST_WAIT  # another node was first, or planning has advanced
        log.info(
            "planning_rules_changed",
            before=str(state.defaults) if state.defaults else None,
            after=str(defaults or state.defaults),
            version=state.version,
            ranges=len(ranges),
        )
        if ranges:
            await self._plan.append([str(range_id) for range_id in ranges])
        return 0.0

    async def _report(self, state: RulesState) -> None:
        """Log where this node's environment differs, once for each version, and each new problem of an occasion.

        A row that was written without triggers leaves the version as it is.
        """
        if state.defaults != self._defaults and self._differing_version != state.version:
            self._differing_version = state.version
            log.warning("planning_rules_differ", ours=str(self._defaults), database=str(state.defaults))
        problems = (await self._planning.rules()).problems
        for problem in problems:
            if problem not in self._problems:
                log.error(
                    "occasion_not_understood",
                    occasion=problem.code[:32],
                    problem=problem.sentence[:300],
                    left_out=problem.left_out,
                )
        self._problems = frozenset(problems)
