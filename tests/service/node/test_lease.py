"""The right of a node to act on its claims."""

from __future__ import annotations

import asyncio

import pytest

from service.node.lease import DEATH_TIMEOUT, HEARTBEAT_INTERVAL, SAFETY_MARGIN, Lease, LeaseLost, elapsed
from tests.service.node.steady import Steady


@pytest.fixture
def steady() -> Steady:
    """The clock of the lease, moved by the test."""
    return Steady()


def test_a_node_without_a_heartbeat_may_do_nothing(steady: Steady) -> None:
    """It claims under the incarnation that `enter` gives, and has none."""
    lease = Lease(steady)

    assert not lease.held
    assert not lease.holds(0)
    with pytest.raises(LeaseLost):
        _ = lease.incarnation


def test_a_node_with_a_recent_heartbeat_may_act_under_its_incarnation(steady: Steady) -> None:
    """The lease lasts until the next heartbeat, and survives some lost ones."""
    lease = Lease(steady)

    lease.renew(7, steady.at)
    steady.passes(3 * HEARTBEAT_INTERVAL)

    assert lease.held
    assert lease.incarnation == 7
    assert lease.holds(7)


def test_the_lease_is_lost_a_margin_before_others_may_end_it(steady: Steady) -> None:
    """A statement under way must not arrive after others have taken over."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    steady.passes(DEATH_TIMEOUT - SAFETY_MARGIN - 0.001)
    just_before = lease.held
    steady.passes(0.001)

    assert just_before
    assert not lease.held
    assert not lease.holds(7)
    with pytest.raises(LeaseLost):
        _ = lease.incarnation


def test_a_lease_counts_from_when_the_beat_was_asked_for(steady: Steady) -> None:
    """Others may have seen the heartbeat at the beginning of a slow call."""
    lease = Lease(steady)
    asked_at = steady.at
    steady.passes(DEATH_TIMEOUT)

    lease.renew(7, asked_at)

    assert not lease.held


def test_each_beat_renews_the_lease(steady: Steady) -> None:
    """With heartbeats for an hour, the node works for an hour."""
    lease = Lease(steady)

    for _ in range(int(3600 / HEARTBEAT_INTERVAL)):
        lease.renew(7, steady.at)
        steady.passes(HEARTBEAT_INTERVAL)

    assert lease.holds(7)


def test_a_beat_that_was_asked_for_before_the_lease_was_ended_does_not_renew_it(steady: Steady) -> None:
    """Another database than the checked one may have answered."""
    lease = Lease(steady)
    asked_at = steady.at
    steady.passes(0.1)
    lease.end()

    lease.renew(7, asked_at)
    before = lease.held
    lease.renew(7, steady.at)

    assert (before, lease.held) == (False, True)


def test_what_an_earlier_incarnation_claimed_may_not_be_sent(steady: Steady) -> None:
    """Others have ended that incarnation and taken over its claims. A new incarnation does not return them."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    lease.end()
    lease.renew(8, steady.at)

    assert not lease.holds(7)
    assert lease.holds(8)


def test_a_lease_that_was_ended_is_lost_at_once(steady: Steady) -> None:
    """It does not last until its time-out."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    lease.end()

    assert not lease.held
    assert not lease.holds(7)


async def test_all_waiters_continue_when_the_lease_is_granted(steady: Steady) -> None:
    """Ticker, planner and senders wait at the same time."""
    lease = Lease(steady)

    async def grant() -> None:
        lease.renew(7, steady.at)

    # In this order: they wait before it is granted.
    *waited, _ = await asyncio.gather(lease.granted(within=60), lease.granted(within=60), grant())

    assert waited == [True, True]


async def test_a_waiter_for_a_lost_lease_continues_with_the_next(steady: Steady) -> None:
    """An earlier lease ends no wait."""
    lease = Lease(steady)
    lease.renew(7, steady.at)
    steady.passes(DEATH_TIMEOUT)

    async def grant_again() -> None:
        lease.renew(8, steady.at)

    waited, _ = await asyncio.gather(lease.granted(within=60), grant_again())

    assert waited


async def test_a_lease_that_is_held_is_not_waited_for(steady: Steady) -> None:
    """Every actor checks it each time."""
    lease = Lease(steady)
    lease.renew(7, steady.at)

    assert await lease.granted(within=0)


async def test_waiting_ends_in_time_without_a_lease(steady: Steady) -> None:
    """Every wait has a deadline, also after an earlier lease has lapsed."""
    lease, lapsed = Lease(steady), Lease(steady)
    lapsed.renew(7, steady.at)
    steady.passes(DEATH_TIMEOUT)

    assert not await lease.granted(within=0.01)
    assert not await lapsed.granted(within=0.01)


async def test_a_beat_that_was_taken_too_late_grants_nothing(steady: Steady) -> None:
    """A waiting actor that wakes checks again."""
    lease = Lease(steady)

    async def grant_too_late() -> None:
        lease.renew(7, steady.at - DEATH_TIMEOUT)

    waited, _ = await asyncio.gather(lease.granted(within=60), grant_too_late())

    assert waited is False


def test_the_clock_of_the_lease_does_not_go_back() -> None:
    """It is a monotonic clock, without time of day."""
    first = elapsed()

    assert elapsed() >= first
