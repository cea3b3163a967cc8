"""Deliberate and former mistakes of heyday: the simulation finds each, in a story that heyday passes without it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.simulation.mistakes import (
    MISTAKES,
    blames_the_message,
    calls_what_is_held,
    claims_what_is_not_due,
    claims_what_others_have,
    does_not_see_edits,
    forgets_unknown_outcomes,
    frees_nothing,
    gives_what_is_in_doubt_to_the_other_service,
    hands_out_ranges_once,
    holds_an_occasion_for_one_row,
    ignores_late_acceptances,
    is_kept_from_looking,
    keeps_the_lock_without_work,
    lets_one_row_stop_the_others,
    loses_a_move,
    retries_at_once_and_early,
    sends_to_anybody,
    takes_no_answer_for_yes,
    takes_nothing_back,
    trusts_the_clock_to_go_on,
    waits_for_a_clock_that_was_set_back,
)
from tests.simulation.scenario import Scenario, simulate

WITHIN = 200
"""Seeds within which a mistake is found."""

FOUND_BY: dict[Callable[[pytest.MonkeyPatch], None], int] = {
    claims_what_is_not_due: 27,
    claims_what_others_have: 155,
    frees_nothing: 162,
    is_kept_from_looking: 77,
    forgets_unknown_outcomes: 179,
    takes_nothing_back: 77,
    hands_out_ranges_once: 67,
    takes_no_answer_for_yes: 42,
    does_not_see_edits: 149,
    trusts_the_clock_to_go_on: 182,
    ignores_late_acceptances: 155,
    blames_the_message: 182,
    gives_what_is_in_doubt_to_the_other_service: 179,
    calls_what_is_held: 31,
    lets_one_row_stop_the_others: 33,
    holds_an_occasion_for_one_row: 148,
    waits_for_a_clock_that_was_set_back: 33,
    retries_at_once_and_early: 20,
    sends_to_anybody: 7,
    loses_a_move: 7,
    keeps_the_lock_without_work: 96,
}
"""The seeds at which the search begins: short stories that found these mistakes when they were written here."""

SLOW = frozenset({holds_an_occasion_for_one_row, waits_for_a_clock_that_was_set_back, keeps_the_lock_without_work})
"""Mistakes that no story of the first 200 seeds finds within a second of processor time."""


async def _pause(scenario: Scenario) -> None:
    """Pause the node whose call the service accepts next, until others have its claims.

    A pause at a random instant meets a call on the wire in one story of several hundred.
    """
    world, post = scenario.world, scenario.world.post
    tell = post._on_accepted

    def accepted(message: UUID) -> None:
        post._on_accepted = tell
        tell(message)
        claimed_by = world.truth.messages[message].claimed_by
        for node in world.nodes:
            if node.believes == claimed_by:
                node.pause()
                scenario._later(scenario.rng.choice((9.0, 14.0, 40.0)), node.thaw)

    post._on_accepted = accepted


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(mistake, marks=[pytest.mark.nightly] if mistake in SLOW else [], id=mistake.__name__)
        for mistake in MISTAKES
    ],
)
def test_a_mistake_is_found_in_a_story_that_passes_without_it(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulation that cannot fail proves nothing.

    The seed is searched for, because each change of what nodes call makes another story of the same seed.
    """
    monkeypatch.setattr(Scenario, "_pause", _pause)
    kinds, begin = MISTAKES[mistake], FOUND_BY[mistake]
    with monkeypatch.context() as patch:
        mistake(patch)
        seeds = (seed % WITHIN for seed in range(begin, begin + WITHIN))
        finder = next((seed for seed in seeds if simulate(seed, only=kinds).violations), None)

    assert finder is not None, "no story of these kinds finds the mistake"
    assert simulate(finder, only=kinds).violations == ()
