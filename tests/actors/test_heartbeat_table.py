"""A node is dead if its heartbeat counter did not move for the death time-out."""

from __future__ import annotations

from itertools import count

from actors.failure_detector import HEARTBEAT_POLL_INTERVAL, OBSERVER_STALLED, HeartbeatTable
from service.node.lease import DEATH_TIMEOUT
from service.ports import NodeBeat


def beats(**counters: int) -> list[NodeBeat]:
    """Nodes `n1`, `n2`, … of incarnations 1, 2, … with these heartbeat counters."""
    return [NodeBeat(int(name[1:]), name, beat) for name, beat in counters.items()]


def looks(until: float, begin: float = 1_000.0) -> list[float]:
    """The seconds at which the failure detector reads the counters."""
    return [begin + n * HEARTBEAT_POLL_INTERVAL for n in range(int(until / HEARTBEAT_POLL_INTERVAL) + 1)]


def test_a_node_is_dead_after_the_time_out_and_not_before() -> None:
    """If declared dead too early, a living node's users may be greeted twice.

    If too late, greetings of a dead node wait.
    """
    table = HeartbeatTable()

    found = {at: table.dead(beats(n1=5), at) for at in looks(DEATH_TIMEOUT + 1)}

    assert [at for at, dead in found.items() if dead] == [
        1_000 + DEATH_TIMEOUT,
        1_000 + DEATH_TIMEOUT + HEARTBEAT_POLL_INTERVAL,
    ]
    assert found[1_000 + DEATH_TIMEOUT] == beats(n1=5)


def test_a_counter_that_moves_is_a_living_node() -> None:
    """A change just before the time-out starts the time-out again."""
    table = HeartbeatTable()

    for at in looks(10 * DEATH_TIMEOUT):
        assert table.dead(beats(n1=int(at // (DEATH_TIMEOUT - 1))), at) == []


def test_a_counter_that_went_back_counts_as_a_heartbeat() -> None:
    """A restored database has lower counters, and its nodes are alive."""
    table = HeartbeatTable()
    for at in looks(DEATH_TIMEOUT - 1):
        table.dead(beats(n1=500), at)

    assert table.dead(beats(n1=3), 1_000 + DEATH_TIMEOUT) == []


def test_a_dead_node_is_found_among_living_ones() -> None:
    """One of three nodes is dead."""
    table = HeartbeatTable()
    beat = count()

    found = [table.dead(beats(n1=next(beat), n2=9, n3=next(beat)), at) for at in looks(DEATH_TIMEOUT)]

    assert found[-1] == beats(n2=9)
    assert not any(found[:-1])


def test_a_suspension_of_the_observer_resets_the_table() -> None:
    """A node that was suspended for an hour has not observed the others. It starts again with the full time-out."""
    table = HeartbeatTable()
    for at in looks(DEATH_TIMEOUT - 1):
        table.dead(beats(n1=5), at)
    woken = 1_000 + DEATH_TIMEOUT - 1 + 3_600

    found = {at: table.dead(beats(n1=5), at) for at in looks(DEATH_TIMEOUT, begin=woken)}

    assert [at for at, dead in found.items() if dead] == [woken + DEATH_TIMEOUT]


def test_a_stall_is_longer_than_a_slow_look() -> None:
    """Small delays do not reset the observation, or a busy node would never find a dead one."""
    table = HeartbeatTable()

    found = [
        bool(table.dead(beats(n1=5), 1_000 + n * OBSERVER_STALLED))
        for n in range(int(DEATH_TIMEOUT / OBSERVER_STALLED) + 2)
    ]

    assert found[-1]


def test_a_node_that_left_and_came_back_is_seen_for_the_first_time() -> None:
    """The entries of ended incarnations are removed, so memory does not grow."""
    table = HeartbeatTable()
    for at in looks(DEATH_TIMEOUT - 2):
        table.dead(beats(n1=5), at)

    table.dead([], 1_000 + DEATH_TIMEOUT - 1)

    assert table.dead(beats(n1=5), 1_000 + DEATH_TIMEOUT) == []


def test_a_new_incarnation_of_a_node_is_watched_on_its_own() -> None:
    """After a restart under the same name, the old incarnation dies and the new one lives."""
    table = HeartbeatTable()

    found = [
        table.dead([NodeBeat(1, "node", 5), NodeBeat(2, "node", beat)], at)
        for beat, at in enumerate(looks(DEATH_TIMEOUT))
    ]

    assert found[-1] == [NodeBeat(1, "node", 5)]
