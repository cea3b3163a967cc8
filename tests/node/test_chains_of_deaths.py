"""Nodes die one after another, each after another fact: what one leaves, those after it clear up."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from actors.facts import Fact
from tests.node.harness import NOON, World, eventually

A_WAVE = 60

CHAINS = 3


@pytest.mark.parametrize("begins_with", range(CHAINS))
async def test_nodes_that_die_after_every_fact_one_after_another_lose_nothing(world: World, begins_with: int) -> None:
    """Each leaves a mess of its own kind to those after it, on RabbitMQ; the last one lives and clears up."""
    facts = list(Fact)[begins_with::CHAINS]
    await world.begin()
    # An hour for each: a wave is due in it, and planning goes on by an hour with others in it.
    hours = range(1, len(facts) + 1)
    for hour in hours:
        await a_wave_due_at(world, NOON + timedelta(hours=hour))
        await a_wave_due_at(world, NOON + timedelta(hours=48 + hour, minutes=-1))

    # Backwards, so that the first makes the messages of all.
    for hour, fact in zip(hours, reversed(facts), strict=True):
        await world.clock.set(NOON + timedelta(hours=hour))
        node = await world.node("--die-after", fact)
        assert await node.ended() == -signal.SIGKILL, fact
        await let_the_next_ticker_begin(world)
    survivor = await world.node()
    await eventually(lambda: world.has("sent", A_WAVE * len(facts)))
    await world.clock.set(NOON + timedelta(hours=48 + len(facts)))
    await world.all_are("sent", 2 * A_WAVE * len(facts))

    assert len({one.key for one in world.acceptances()}) == 2 * A_WAVE * len(facts)
    await world.assert_nobody_was_greeted_twice()
    await world.assert_nobody_was_greeted_early()
    assert survivor.crashes() == []


async def let_the_next_ticker_begin(world: World) -> None:
    """The lock of a dead ticker goes by itself after three seconds, and for each of so many deaths that is long."""
    async with Redis.from_url(world.redis_url) as redis:
        await redis.delete("heyday:lock:{ticker}")


async def a_wave_due_at(world: World, due: datetime) -> None:
    """Users in the zone where it is 09:00 at that whole hour of UTC, or a minute after."""
    west = (round(due.timestamp() / 3600) % 24 - 9 + 11) % 24 - 11
    # The signs of these names are the wrong way round.
    await world.users(A_WAVE, (due - timedelta(hours=west)).date(), timezone=f"Etc/GMT{west:+d}")
