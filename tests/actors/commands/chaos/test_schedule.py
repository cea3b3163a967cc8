"""The sequence of faults: a seed repeats it, and what cannot be caused is said and left out."""

from __future__ import annotations

from actors.chaos.faults import KINDS, Need
from actors.chaos.pace import QUICKEST, Pace, concurrency
from actors.chaos.script import possible, script

ALL = tuple(KINDS)


def drawn(seed: int) -> list[tuple[str, float]]:
    """Each fault with the first number that it draws."""
    return [(fault.name, fault.chance.random()) for fault in script(ALL, 2, seed)]


def test_a_seed_repeats_the_sequence_and_what_each_fault_draws() -> None:
    """A failure that cannot be repeated is an anecdote."""
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_each_kind_comes_as_often_as_was_asked_for() -> None:
    """None is left out by chance."""
    names = [fault.name for fault in script(ALL, 3, 1)]

    assert {name: names.count(name) for name in ALL} == dict.fromkeys(ALL, 3)


def test_what_is_lacking_leaves_out_what_needs_it_and_nothing_else() -> None:
    """With the reason, once a kind; the others draw what they would have drawn."""
    faults = script(("restart-rabbitmq", "reset-rabbitmq", "kill-node", "fill-disk"), 2, 1)

    left, skipped = possible(faults, {Need.RABBITMQ: "not installed", Need.OWN_RABBITMQ: "not ours"})

    assert [fault.name for fault in left] == [f.name for f in faults if f.name in {"kill-node", "fill-disk"}]
    assert [(one.name, one.reason) for one in skipped] == [
        ("reset-rabbitmq", "not installed"),
        ("restart-rabbitmq", "not ours"),
    ]


def test_the_wave_lasts_as_long_as_the_faults() -> None:
    """A fault that meets no work proves nothing."""
    calls = 3 * concurrency(5_000, 66, 3, 3.0)

    low, high = Pace(calls, slowest=1.0).latency(greetings=5_000, faults=66, each=10.0)

    assert 5_000 * (low + high) / 2 / calls >= 66 * 10.0


def test_the_service_is_never_so_slow_that_calls_time_out() -> None:
    """That would be a fault of its own."""
    low, high = Pace(10, slowest=1.0).latency(greetings=10, faults=50, each=30.0)

    assert high <= 1.2
    assert low <= high


def test_after_the_last_fault_the_rest_leaves_quickly() -> None:
    """Nobody wants to wait for what proves nothing any more."""
    assert Pace(10, slowest=1.0).latency(greetings=4_000, faults=0, each=10.0) == (QUICKEST, QUICKEST)
