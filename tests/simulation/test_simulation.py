"""Whole nodes through whole stories of faults, on virtual time: what is guaranteed holds at every step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.mistakes import MISTAKES
from tests.simulation.scenario import simulate

SEEDS = 200
"""How many run with every change; `python -m tests.simulation --seeds 20000` runs tens of thousands."""

AT_ONCE = 20

WITHIN = 100
"""Seeds within which a mistake is found."""

KEPT = {
    (5, "edit"): "a day moved while its greeting was on the wire: the next attempt was made for the day before",
    (6, "jump_back"): "the clock set back: what was queued stayed so until the clock was there again",
    (2, "kill"): "recovery waited for slow Redis, and noticed no death: what the dead was sending was freed late",
}
"""Seeds, with the one kind of event in their story, that once broke a guarantee, and what they found."""


def story_of(seed: int) -> str:
    """How to see what happened."""
    return f"python -m tests.simulation --seed {seed} --verbose"


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_story_of_faults_breaks_a_guarantee(first: int) -> None:
    """Lost, early, twice, stuck: in none of the stories that were drawn, at no step of any."""
    verdicts = [simulate(seed) for seed in range(first, first + AT_ONCE)]

    broken = {story_of(verdict.seed): verdict.violations for verdict in verdicts if verdict.violations}
    assert broken == {}
    # A simulation in which nothing happens breaks nothing either.
    assert sum(verdict.accepted for verdict in verdicts) > 2 * AT_ONCE


@pytest.mark.parametrize(("seed", "kind"), KEPT)
def test_what_was_found_once_stays_mended(seed: int, kind: str) -> None:
    """Each has its tests on real servers, too; this is the story as it was met."""
    assert simulate(seed, only=[kind]).violations == ()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found(mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot fail proves nothing."""
    mistake(monkeypatch)

    assert any(simulate(seed, only=MISTAKES[mistake]).violations for seed in range(WITHIN))


def test_the_same_seed_is_the_same_story() -> None:
    """Else no failure could be looked at twice."""
    first, second = (simulate(7, keep_trace=True) for _ in range(2))

    assert first.trace == second.trace
    assert len(first.trace) > 100
