"""Nodes die one after another, each at another failpoint, and the next ones recover the work."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from actors.failpoints import Failpoint
from tests.node.harness import NOON, World, eventually

A_WAVE = 60

CHAINS = 3

OF_NO_OTHER_TEST = [
    *(Failpoint.PLAN_ANNOUNCED, Failpoint.PLAN_APPENDED, Failpoint.PLAN_FINISHED),
    *(Failpoint.DUE_APPENDED, Failpoint.DUE_FINISHED, Failpoint.RECORDED, Failpoint.ACKNOWLEDGED),
]
"""The failpoints at which no node dies in test_crashes and test_time."""

OF_OTHER_TESTS = [
    *(Failpoint.PLANNED, Failpoint.DUE_CLAIMED, Failpoint.PUBLISHED, Failpoint.RECEIVED),
    *(Failpoint.CLAIMED, Failpoint.ANSWERED, Failpoint.REMEMBERED),
]


def test_a_node_dies_at_each_failpoint_in_some_test() -> None:
    """Also at one that is new."""
    assert {*OF_NO_OTHER_TEST, *OF_OTHER_TESTS} == {*Failpoint}


@pytest.mark.parametrize(
    "failpoints",
    [
        pytest.param(OF_NO_OTHER_TEST, id="of no other test"),
        *(
            pytest.param(list(Failpoint)[first::CHAINS], id=f"every third from {first}", marks=pytest.mark.nightly)
            for first in range(CHAINS)
        ),
    ],
)
async def test_nodes_that_die_at_every_failpoint_one_after_another_lose_nothing(
    world: World, failpoints: list[Failpoint]
) -> None:
    """Each leaves another inconsistent state, on RabbitMQ; the last node lives and clears up."""
    await world.begin()
    # One hour per node: a wave is due in it, and one more hour is planned.
    hours = range(1, len(failpoints) + 1)
    for hour in hours:
        await a_wave_due_at(world, NOON + timedelta(hours=hour))
        await a_wave_due_at(world, NOON + timedelta(hours=48 + hour, minutes=-1))

    # In reverse order, so that the first node makes the messages of all.
    for hour, failpoint in zip(hours, reversed(failpoints), strict=True):
        await world.clock.set(NOON + timedelta(hours=hour))
        node = await world.node("--crash-at", failpoint)
        assert await node.ended() == -signal.SIGKILL, failpoint
        await let_the_next_ticker_begin(world)
    survivor = await world.node()
    await eventually(lambda: world.has("sent", A_WAVE * len(failpoints)))
    await world.clock.set(NOON + timedelta(hours=48 + len(failpoints)))
    await world.all_are("sent", 2 * A_WAVE * len(failpoints))

    assert len({one.key for one in world.acceptances()}) == 2 * A_WAVE * len(failpoints)
    await world.assert_nobody_was_greeted_twice()
    await world.assert_nobody_was_greeted_early()
    assert survivor.crashes() == []


async def let_the_next_ticker_begin(world: World) -> None:
    """Release the lock of a dead ticker; it would expire after three seconds, too long for many deaths."""
    async with Redis.from_url(world.redis_url) as redis:
        await redis.delete("heyday:lock:{ticker}")


async def a_wave_due_at(world: World, due: datetime) -> None:
    """Create users in the zone where it is 09:00 at that hour of UTC, or a minute after."""
    west = (round(due.timestamp() / 3600) % 24 - 9 + 11) % 24 - 11
    # The signs in these names are inverted.
    await world.users(A_WAVE, (due - timedelta(hours=west)).date(), timezone=f"Etc/GMT{west:+d}")
