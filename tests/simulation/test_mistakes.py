"""Deliberate and former mistakes of heyday: the simulation finds each, in a story that heyday passes without it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.simulation.mistakes import (
    MISTAKES,
    blames_the_message,
    calls_what_is_held,
    does_not_see_edits,
    frees_nothing,
    gives_what_is_in_doubt_to_the_other_service,
    holds_an_occasion_for_one_row,
    ignores_late_acceptances,
    is_kept_from_looking,
    takes_no_answer_for_yes,
    takes_nothing_back,
    trusts_the_clock_to_go_on,
    waits_for_a_clock_that_was_set_back,
)
from tests.simulation.scenario import Scenario, simulate

WITHIN = 200
"""Seeds within which a mistake is found."""

FOUND_BY: dict[Callable[[pytest.MonkeyPatch], None], int] = {
    frees_nothing: 6,
    is_kept_from_looking: 22,
    takes_nothing_back: 4,
    takes_no_answer_for_yes: 26,
    does_not_see_edits: 20,
    trusts_the_clock_to_go_on: 16,
    ignores_late_acceptances: 13,
    blames_the_message: 11,
    gives_what_is_in_doubt_to_the_other_service: 43,
    calls_what_is_held: 18,
    holds_an_occasion_for_one_row: 5,
    waits_for_a_clock_that_was_set_back: 118,
}
"""The seeds at which the search begins: they found these mistakes when they were written here."""


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


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found_in_a_story_that_passes_without_it(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulation that cannot fail proves nothing.

    The seed is searched for, because each change of what nodes call makes another story of the same seed.
    """
    monkeypatch.setattr(Scenario, "_pause", _pause)
    kinds, begin = MISTAKES[mistake], FOUND_BY.get(mistake, 0)
    with monkeypatch.context() as patch:
        mistake(patch)
        seeds = (seed % WITHIN for seed in range(begin, begin + WITHIN))
        finder = next((seed for seed in seeds if simulate(seed, only=kinds).violations), None)

    assert finder is not None, "no story of these kinds finds the mistake"
    assert simulate(finder, only=kinds).violations == ()
