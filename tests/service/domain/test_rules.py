"""A node writes changed defaults when it starts, but a rolling restart does not write the old ones again."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import pytest

from service.domain.planning import CalendarDefaults
from service.domain.rules import SETTLE_TIME, SUPPORT_TIMEOUT, RulesState, RulesStep, next_step

NINE, EIGHT, SEVEN = CalendarDefaults(time(9)), CalendarDefaults(time(8)), CalendarDefaults(time(7))

SETTLED = RulesState(
    version=4, replanned_version=4, defaults=NINE, written_by=10, replaced=frozenset(), supported=True, agreed=True
)
"""Every living node has 09:00."""

ROLLING = replace(SETTLED, defaults=EIGHT, written_by=20, replaced=frozenset({str(NINE)}), agreed=False)
"""Node 20 has brought 08:00, and others still have 09:00."""

WITHDRAWN = replace(ROLLING, supported=False)
"""No living node has 08:00 any more."""


@pytest.mark.parametrize(
    ("case", "state", "ours", "started_as", "unsupported_for", "step"),
    [
        ("nobody has written", replace(SETTLED, defaults=None), NINE, 1, 0.0, RulesStep.WRITE),
        ("the same defaults", SETTLED, NINE, 11, 0.0, RulesStep.NONE),
        ("a start with others", SETTLED, EIGHT, 11, 0.0, RulesStep.WRITE),
        ("a node from before the change", ROLLING, NINE, 9, 0.0, RulesStep.NONE),
        ("a restart with the old ones in a rolling restart", ROLLING, NINE, 21, 0.0, RulesStep.NONE),
        ("a third value in a rolling restart", ROLLING, SEVEN, 21, 0.0, RulesStep.WRITE),
        ("the next node with the new ones", ROLLING, EIGHT, 21, 0.0, RulesStep.NONE),
        ("the only node with the new ones restarts", WITHDRAWN, NINE, 21, SUPPORT_TIMEOUT - 1, RulesStep.NONE),
        ("the change was withdrawn", WITHDRAWN, NINE, 21, SUPPORT_TIMEOUT, RulesStep.WRITE),
        ("withdrawn, a node from before", WITHDRAWN, NINE, 9, SUPPORT_TIMEOUT, RulesStep.NONE),
        ("every node has them since a moment", replace(ROLLING, agreed=True), EIGHT, 21, 0.0, RulesStep.NONE),
        ("an occasion was changed", replace(SETTLED, version=5), NINE, 11, 0.0, RulesStep.REPLAN),
    ],
)
def test_a_node_writes_its_defaults_only_when_they_are_the_newer_intention(
    case: str, state: RulesState, ours: CalendarDefaults, started_as: int, unsupported_for: float, step: RulesStep
) -> None:
    assert next_step(state, ours, started_as=started_as, unsupported_for=unsupported_for) is step, case


def test_a_rolling_restart_is_over_when_every_node_has_had_them_for_long() -> None:
    agreed = replace(ROLLING, agreed=True)

    assert next_step(agreed, EIGHT, started_as=21, agreed_for=SETTLE_TIME - 1) is RulesStep.NONE
    assert next_step(agreed, EIGHT, started_as=21, agreed_for=SETTLE_TIME) is RulesStep.SETTLE


def test_once_settled_the_defaults_can_go_back_to_what_they_were() -> None:
    """A year later, the same value is a new decision."""
    settled = replace(ROLLING, replaced=frozenset(), agreed=True)

    assert next_step(settled, NINE, started_as=30) is RulesStep.WRITE
