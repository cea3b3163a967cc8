"""Whole nodes through whole stories of faults, on virtual time: what is guaranteed holds at every step."""

from __future__ import annotations

from collections import Counter

import pytest

from actors.failpoints import Failpoint
from tests.simulation import visited
from tests.simulation.scenario import kinds_of_events, simulate

SEEDS = 20
"""Seeds of each run of the tests; `python -m tests.simulation --seeds 20000` runs more."""

AT_ONCE = 20

RESULT_WRITER_FAILS_IN_A_DRAIN = 80501
"""The seed of such a story: the senders then fail, too."""


def story_of(seed: int) -> str:
    """The command that shows the story."""
    return f"python -m tests.simulation --seed {seed} --verbose"


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_story_of_faults_breaks_a_guarantee(first: int) -> None:
    """Lost, early, twice, stuck: in none of the stories that were drawn, at no step of any."""
    verdicts = [simulate(seed) for seed in range(first, first + AT_ONCE)]

    broken = {story_of(verdict.seed): verdict.violations for verdict in verdicts if verdict.violations}
    assert broken == {}
    # A simulation in which nothing happens breaks nothing either.
    assert sum(verdict.accepted for verdict in verdicts) > 2 * AT_ONCE
    visits = Counter[str]()
    for verdict in verdicts:
        visits.update(verdict.visited)
    assert [step for step in Failpoint if not visits[visited.failpoint(step)]] == []


def test_an_actor_may_fail_with_the_one_that_it_needs_in_a_drain() -> None:
    """A node that drains restarts no actor, and others take over what it could not record."""
    verdict = simulate(RESULT_WRITER_FAILS_IN_A_DRAIN, keep_trace=True)

    assert not verdict.violations
    assert any("error=Stopped('result_writer is stopped')" in line for line in verdict.trace)


def test_what_no_story_has_visited_is_named() -> None:
    """A run of thousands of seeds fails by it."""
    kinds = kinds_of_events()
    visits = Counter(visited.wanted(kinds))
    assert visited.missing(visits, kinds) == []

    del visits["arc queued to sending"], visits["event kill"]

    assert visited.missing(visits, kinds) == ["arc queued to sending", "event kill"]


def test_the_same_seed_is_the_same_story() -> None:
    """Else no failure could be looked at twice."""
    first, second = (simulate(2, keep_trace=True) for _ in range(2))

    assert first.trace == second.trace
    assert any("event=range_planned" in line for line in first.trace)
