"""Decides when a node writes its own defaults (`HEYDAY_SEND_AT`, `HEYDAY_LEAP_DAY`) into the database.

All nodes plan by the row in the database. A node writes the row when it starts with other defaults. In a rolling
restart, nodes with old and new defaults run at the same time. An old node that restarts must not write the old defaults
again. docs/decisions/0011-rules-are-rows.md has the cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.planning import CalendarDefaults

SUPPORT_TIMEOUT = 20.0
"""Seconds without a living node that has the defaults of the row. Then a node writes even defaults that were replaced:
the change was withdrawn. The time covers the restart of a node."""

SETTLE_TIME = 600.0
"""Seconds for which every living node has had the defaults of the row. Then the rolling restart is over. The time
covers the restart of a node that still has the old ones."""


@dataclass(frozen=True, slots=True)
class RulesState:
    """The row in the database, and the defaults of the living nodes.

    `defaults`: None when no node has written them. `written_by`: the incarnation of the node that did. `replaced`: the
    defaults before, until every living node has the present ones. `supported`: a living node has them. `agreed`: every
    living node has them. Messages follow the rules up to `replanned_version`.
    """

    version: int
    replanned_version: int
    defaults: CalendarDefaults | None
    written_by: int
    replaced: frozenset[str]
    supported: bool
    agreed: bool


class RulesStep(StrEnum):
    """The next step of a node."""

    NONE = "none"
    """The row stays as it is."""
    WRITE = "write"
    """Write the defaults of this node, and plan again what is unsent."""
    REPLAN = "replan"
    """An occasion was changed: plan again what is unsent."""
    SETTLE = "settle"
    """Every living node has the defaults of the row for long: forget those that were replaced."""


def next_step(
    state: RulesState,
    ours: CalendarDefaults,
    *,
    started_as: int,
    unsupported_for: float = 0.0,
    agreed_for: float = 0.0,
) -> RulesStep:
    """The step of a node with the defaults `ours` whose process started as incarnation `started_as`.

    A node that comes back after a lost lease has a new incarnation; what counts is the first one of its process.
    `unsupported_for`: seconds for which this node has seen no living node with the defaults of the row. `agreed_for`:
    seconds for which it has seen no living node with others.
    """
    if state.defaults is None:
        return RulesStep.WRITE
    if state.defaults != ours and started_as > state.written_by:
        # Replaced defaults are those of a node that was not given the new ones yet.
        is_new = str(ours) not in state.replaced
        if is_new or (not state.supported and unsupported_for >= SUPPORT_TIMEOUT):
            return RulesStep.WRITE
    if state.replanned_version < state.version:
        return RulesStep.REPLAN
    if state.replaced and state.agreed and agreed_for >= SETTLE_TIME:
        return RulesStep.SETTLE
    return RulesStep.NONE
