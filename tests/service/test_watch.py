"""A node is dead when its heart was seen to stand still for long enough."""

from __future__ import annotations

from itertools import count

from actors.lease import DEATH
from actors.watchman import LOOK_EVERY, STALLED, Watch
from service.ports import NodeBeat


def beats(**counters: int) -> list[NodeBeat]:
    """Nodes `n1`, `n2`, … of incarnations 1, 2, … whose hearts have beaten so often."""
    return [NodeBeat(int(name[1:]), name, beat) for name, beat in counters.items()]


def looks(until: float, begin: float = 1_000.0) -> list[float]:
    """The seconds at which the watchman looks."""
    return [begin + n * LOOK_EVERY for n in range(int(until / LOOK_EVERY) + 1)]


def test_a_heart_that_stands_still_for_long_enough_is_dead_and_not_before() -> None:
    """Too early, and a living node is greeted over; too late, and a dead one's greetings wait."""
    watch = Watch()

    found = {at: watch.dead(beats(n1=5), at) for at in looks(DEATH + 1)}

    assert [at for at, dead in found.items() if dead] == [1_000 + DEATH, 1_000 + DEATH + LOOK_EVERY]
    assert found[1_000 + DEATH] == beats(n1=5)


def test_a_beat_that_moves_lives() -> None:
    """However seldom: a beat just before the end begins anew."""
    watch = Watch()

    for at in looks(10 * DEATH):
        assert watch.dead(beats(n1=int(at // (DEATH - 1))), at) == []


def test_a_counter_that_went_back_is_a_heart_that_moved() -> None:
    """A restored database has lower numbers; that is no death."""
    watch = Watch()
    for at in looks(DEATH - 1):
        watch.dead(beats(n1=500), at)

    assert watch.dead(beats(n1=3), 1_000 + DEATH) == []


def test_the_dead_are_told_from_the_living_beside_them() -> None:
    """One of three."""
    watch = Watch()
    beat = count()

    found = [watch.dead(beats(n1=next(beat), n2=9, n3=next(beat)), at) for at in looks(DEATH)]

    assert found[-1] == beats(n2=9)
    assert not any(found[:-1])


def test_our_own_standing_still_is_forgotten() -> None:
    """Suspended for an hour we have seen nobody's heart stand still: the watch begins anew, with full patience."""
    watch = Watch()
    for at in looks(DEATH - 1):
        watch.dead(beats(n1=5), at)
    woken = 1_000 + DEATH - 1 + 3_600

    found = {at: watch.dead(beats(n1=5), at) for at in looks(DEATH, begin=woken)}

    assert [at for at, dead in found.items() if dead] == [woken + DEATH]


def test_a_stall_is_longer_than_a_slow_look() -> None:
    """Looks that are late by less go on counting, or a busy node would never find anybody dead."""
    watch = Watch()

    found = [bool(watch.dead(beats(n1=5), 1_000 + n * STALLED)) for n in range(int(DEATH / STALLED) + 2)]

    assert found[-1]


def test_a_node_that_left_and_came_back_is_seen_for_the_first_time() -> None:
    """What was known of an incarnation goes with it: memory does not grow with the nodes of a year."""
    watch = Watch()
    for at in looks(DEATH - 2):
        watch.dead(beats(n1=5), at)

    watch.dead([], 1_000 + DEATH - 1)

    assert watch.dead(beats(n1=5), 1_000 + DEATH) == []


def test_a_new_incarnation_of_a_node_is_watched_on_its_own() -> None:
    """The same name, restarted: the old number dies, the new one lives."""
    watch = Watch()

    found = [
        watch.dead([NodeBeat(1, "node", 5), NodeBeat(2, "node", beat)], at) for beat, at in enumerate(looks(DEATH))
    ]

    assert found[-1] == [NodeBeat(1, "node", 5)]
