"""The right of a node to act on what it has claimed."""

from __future__ import annotations

import asyncio

import pytest

from actors.lease import BEAT_EVERY, DEATH, MARGIN, Lease, LeaseLost, elapsed
from tests.service.steady import Steady


@pytest.fixture
def steady() -> Steady:
    """The clock of the lease, moved by the test."""
    return Steady()


def test_a_node_that_was_never_heard_may_do_nothing(steady: Steady) -> None:
    """It claims under the number that entering gave it, and has none."""
    lease = Lease(steady)

    assert not lease.held
    assert not lease.holds(0)
    with pytest.raises(LeaseLost):
        _ = lease.incarnation


def test_a_node_whose_beat_was_taken_may_act_under_its_number(steady: Steady) -> None:
    """Until the next beat and for some beats that go amiss."""
    lease = Lease(steady)

    lease.renew(7, steady.at)
    steady.passes(3 * BEAT_EVERY)

    assert lease.held
    assert lease.incarnation == 7
    assert lease.holds(7)


def test_the_lease_is_lost_a_margin_before_others_may_end_it(steady: Steady) -> None:
    """A statement on its way must not arrive after the others have taken over."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    steady.passes(DEATH - MARGIN - 0.001)
    just_before = lease.held
    steady.passes(0.001)

    assert just_before
    assert not lease.held
    assert not lease.holds(7)
    with pytest.raises(LeaseLost):
        _ = lease.incarnation


def test_a_lease_counts_from_when_the_beat_was_asked_for(steady: Steady) -> None:
    """The others may have seen it at the beginning of a slow call."""
    lease = Lease(steady)
    asked_at = steady.at
    steady.passes(DEATH)

    lease.renew(7, asked_at)

    assert not lease.held


def test_each_beat_renews_the_lease(steady: Steady) -> None:
    """An hour of beats is an hour of work."""
    lease = Lease(steady)

    for _ in range(int(3600 / BEAT_EVERY)):
        lease.renew(7, steady.at)
        steady.passes(BEAT_EVERY)

    assert lease.holds(7)


def test_a_beat_that_was_asked_for_before_the_lease_was_ended_does_not_renew_it(steady: Steady) -> None:
    """It may have been taken by another database than the one that was looked at."""
    lease = Lease(steady)
    asked_at = steady.at
    steady.passes(0.1)
    lease.end()

    lease.renew(7, asked_at)
    before = lease.held
    lease.renew(7, steady.at)

    assert (before, lease.held) == (False, True)


def test_what_an_earlier_incarnation_claimed_may_not_be_sent(steady: Steady) -> None:
    """Others have ended it and taken over; that the node has begun anew does not give it back."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    lease.end()
    lease.renew(8, steady.at)

    assert not lease.holds(7)
    assert lease.holds(8)


def test_a_lease_that_was_ended_is_lost_at_once(steady: Steady) -> None:
    """Not when it would have run out."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    lease.end()

    assert not lease.held
    assert not lease.holds(7)


async def test_who_waits_for_the_lease_goes_on_when_it_is_granted(steady: Steady) -> None:
    """All of them: ticker, planner and senders wait beside each other."""
    lease = Lease(steady)

    async def grant() -> None:
        lease.renew(7, steady.at)

    # In this order: they wait before it is granted.
    *waited, _ = await asyncio.gather(lease.granted(within=60), lease.granted(within=60), grant())

    assert waited == [True, True]


async def test_who_waits_for_a_lease_that_was_lost_goes_on_with_the_next(steady: Steady) -> None:
    """That it was granted once, long ago, ends no wait."""
    lease = Lease(steady)
    lease.renew(7, steady.at)
    steady.passes(DEATH)

    async def grant_again() -> None:
        lease.renew(8, steady.at)

    waited, _ = await asyncio.gather(lease.granted(within=60), grant_again())

    assert waited


async def test_a_lease_that_is_held_is_not_waited_for(steady: Steady) -> None:
    """Every turn of every actor asks."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    assert await lease.granted(within=0)


async def test_waiting_ends_in_time_without_a_lease(steady: Steady) -> None:
    """Nothing waits for ever; also not where one was granted earlier, and lapsed."""
    lease, lapsed = Lease(steady), Lease(steady)
    lapsed.renew(7, steady.at)
    steady.passes(DEATH)

    assert not await lease.granted(within=0.01)
    assert not await lapsed.granted(within=0.01)


async def test_a_beat_that_was_taken_too_late_grants_nothing(steady: Steady) -> None:
    """Whoever was woken by it looks again."""
    lease = Lease(steady)

    async def grant_too_late() -> None:
        lease.renew(7, steady.at - DEATH)

    waited, _ = await asyncio.gather(lease.granted(within=60), grant_too_late())

    assert waited is False


def test_the_clock_of_the_lease_does_not_go_back() -> None:
    """It measures, and knows no time of day."""
    first = elapsed()

    assert elapsed() >= first
