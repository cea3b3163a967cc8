"""The schedule of faults: a seed repeats it, and impossible faults are listed and left out."""

from __future__ import annotations

from actors.commands.chaos.faults import KINDS, Need
from actors.commands.chaos.latency_plan import QUICKEST, LatencyPlan, concurrency, pace
from actors.commands.chaos.schedule import draw_schedule, possible

ALL = tuple(KINDS)


def drawn(seed: int) -> list[tuple[str, float]]:
    """Each fault with the first number that it draws."""
    return [(fault.name, fault.chance.random()) for fault in draw_schedule(ALL, 2, seed)]


def test_a_seed_repeats_the_sequence_and_what_each_fault_draws() -> None:
    """A failure must be repeatable."""
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_each_kind_is_injected_as_often_as_requested() -> None:
    """No kind is left out by chance."""
    names = [fault.name for fault in draw_schedule(ALL, 3, 1)]

    assert {name: names.count(name) for name in ALL} == dict.fromkeys(ALL, 3)


def test_a_missing_precondition_leaves_out_the_faults_that_need_it() -> None:
    """Each kind is listed once, with the reason. The other faults draw the same numbers."""
    faults = draw_schedule(("restart-rabbitmq", "reset-rabbitmq", "kill-node", "fill-disk"), 2, 1)

    left, skipped = possible(faults, {Need.RABBITMQ: "not installed", Need.OWN_RABBITMQ: "not ours"})

    assert [fault.name for fault in left] == [f.name for f in faults if f.name in {"kill-node", "fill-disk"}]
    assert [(one.name, one.reason) for one in skipped] == [
        ("reset-rabbitmq", "not installed"),
        ("restart-rabbitmq", "not ours"),
    ]


def test_the_wave_lasts_as_long_as_the_faults() -> None:
    """A fault without messages shows nothing."""
    calls = 3 * concurrency(5_000, 66 * 10.0, 3, 3.0)

    low, high = LatencyPlan(calls, slowest=1.0).latency(greetings=5_000, seconds=66 * 10.0)

    assert 5_000 * (low + high) / 2 / calls >= 66 * 10.0


def test_the_service_is_never_so_slow_that_calls_time_out() -> None:
    """Time-outs would be another fault."""
    low, high = LatencyPlan(10, slowest=1.0).latency(greetings=10, seconds=50 * 30.0)

    assert high <= 1.2
    assert low <= high


def test_quick_faults_do_not_shorten_the_wave_and_slow_ones_lengthen_it() -> None:
    """A purge takes a second of the expected 14. That says nothing of a stranger who takes bundles for 90 s."""
    assert pace(2.0, expected=28.0) == 1.0
    assert pace(42.0, expected=28.0) == 1.5
    assert pace(0.0, expected=0.0) == 1.0


def test_after_the_last_fault_the_rest_leaves_quickly() -> None:
    """The rest of the wave is not part of the rehearsal."""
    assert LatencyPlan(10, slowest=1.0).latency(greetings=4_000, seconds=0) == (QUICKEST, QUICKEST)
