"""Two versions are compared by their ratios to the bare loop, not by rates that follow the machine."""

from __future__ import annotations

from loadtest.regression import Figures, verdict
from loadtest.wave import Round


def rounds(*, bare: float, heyday: float, cpu: float = 120.0, duplicates: float = 0.0) -> list[Round]:
    return [
        {
            "bare": {"perSecond": bare * noise, "cpuMicroseconds": 80.0},
            "heyday": {"perSecond": heyday * noise, "cpuMicroseconds": cpu, "duplicates": duplicates},
        }
        for noise in (0.5, 1.0, 2.0)
    ]


def test_a_slower_machine_is_not_a_slower_version() -> None:
    """Runners differ by more than versions do."""
    before, after = Figures.of(rounds(bare=12_000, heyday=6_000)), Figures.of(rounds(bare=4_000, heyday=1_950))

    assert verdict(before, after) == []


def test_a_version_that_lost_a_fifth_is_slower() -> None:
    """However fast the machine is."""
    before, after = Figures.of(rounds(bare=4_000, heyday=2_000)), Figures.of(rounds(bare=12_000, heyday=4_800))

    assert verdict(before, after) == ["slower: 0.40 of the bare loop, 0.50 before"]


def test_processor_time_and_greetings_accepted_twice_count_too() -> None:
    """The first is what nodes cost, the second may never be."""
    before = Figures.of(rounds(bare=4_000, heyday=2_000))
    after = Figures.of(rounds(bare=4_000, heyday=2_000, cpu=160.0, duplicates=1.0))

    assert verdict(before, after) == [
        "dearer: 2.00 of the bare loop's processor time, 1.50 before",
        "3 greetings accepted twice",
    ]
