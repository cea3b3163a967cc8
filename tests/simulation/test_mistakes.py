"""Deliberate and former mistakes of heyday: the simulation finds each."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.simulation.mistakes import (
    MISTAKES,
    does_not_see_edits,
    ignores_late_acceptances,
    is_kept_from_looking,
    trusts_the_clock_to_go_on,
)
from tests.simulation.scenario import Scenario, simulate

WITHIN = 100
"""Seeds within which a mistake is found."""

FOUND_ONCE = {
    # A day moved while its greeting was on the wire: the next attempt was made for the day before.
    "edit": does_not_see_edits,
    # The clock set back: what was queued stayed so until the clock was there again.
    "jump_back": trusts_the_clock_to_go_on,
    # Recovery waited for slow Redis, and noticed no death: the claims of the dead node were freed late.
    "kill": is_kept_from_looking,
    # A paused node reported the answer of the service late: the row waited for a person, or for another call.
    "pause": ignores_late_acceptances,
}
"""The only kind of event in a story, and the mistake that such stories found in heyday."""


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


@pytest.mark.parametrize("kind", FOUND_ONCE)
def test_a_story_that_finds_a_former_mistake_passes_without_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed is searched for: each change of what nodes call makes another story of the same seed."""
    monkeypatch.setattr(Scenario, "_pause", _pause)
    with monkeypatch.context() as patch:
        FOUND_ONCE[kind](patch)
        finder = next((seed for seed in range(WITHIN) if simulate(seed, only=[kind]).violations), None)

    assert finder is not None, "no story of this kind alone finds the mistake"
    assert simulate(finder, only=[kind]).violations == ()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found(mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that cannot fail proves nothing."""
    mistake(monkeypatch)

    assert any(simulate(seed, only=MISTAKES[mistake]).violations for seed in range(WITHIN))
