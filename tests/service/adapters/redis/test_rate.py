"""The rate holds over all nodes together, evenly spaced, and each node takes its share when Redis is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest

from service.adapters.redis.absence import AWAY_FOR
from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.rate import BURST, RedisRateLimit, Unlimited
from service.embedded.relay import relayed
from service.ports import RateLimit
from tests.adapters.redis.stores import Store

AHEAD = 20
"""Seconds of calls that are reserved beforehand, so that the row never runs empty, however slow this machine is."""


@pytest.mark.parametrize(("per_second", "at_once"), [(100, 1), (100, 7), (999, 10), (13_000, 50), (30, 1)])
async def test_the_rate_is_exact_over_all_nodes(per_second: int, at_once: int, store: Store) -> None:
    """What the email service agreed to is a figure: within 2 % over 5 s, however the nodes interleave."""
    nodes = [store.rate(per_second, nodes=4) for _ in range(4)]
    rounds = 5 * per_second // (4 * at_once)
    await nodes[0].reserve(AHEAD * per_second)

    async def reserve(limit: RateLimit) -> None:
        for _ in range(rounds):
            await limit.reserve(at_once)

    first = await place(nodes[0])
    await asyncio.gather(*map(reserve, nodes))
    last = await place(nodes[3])

    seconds = (4 * rounds * at_once + 1) / per_second
    assert last.earliest - first.latest <= seconds * 1.02
    assert last.latest - first.earliest >= seconds * 0.98


@dataclass(frozen=True)
class Place:
    """The instant of a call, as exactly as a client can know it: the answer takes time, on a busy machine a lot."""

    earliest: float
    latest: float


async def place(limit: RateLimit) -> Place:
    """The next place in the row."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    (wait,) = await limit.reserve(1)
    return Place(asked + wait, loop.time() + wait)


async def test_a_reservation_is_evenly_spaced(store: Store) -> None:
    """A wave that leaves in lumps is what a rate limit is there to prevent."""
    waits = await store.rate(10).reserve(5)

    assert waits[0] == 0
    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([0.1] * 4)


async def test_idle_time_is_made_up_for_only_a_little(store: Store) -> None:
    """A night without greetings must not let ten thousand leave at once."""
    waits = await store.rate(1_000).reserve(1_000)

    assert waits.count(0) <= 1_000 * BURST
    assert waits[-1] == pytest.approx(1 - BURST, abs=0.002)


async def test_the_next_reservation_goes_behind_the_last(store: Store) -> None:
    """Reservations of two nodes share one row."""
    one, other = (store.rate(2, nodes=2) for _ in range(2))

    await one.reserve(4)
    [wait] = await other.reserve(1)

    assert wait == pytest.approx(2, abs=0.2)


async def test_nothing_reserved_nothing_waited_for(store: Store) -> None:
    """An empty batch takes no place in the row."""
    assert await store.rate(1).reserve(0) == []
    assert await store.rate(1).reserve(1) == [0]


async def test_limits_of_different_names_do_not_meet(store: Store) -> None:
    """A second service would have a rate of its own."""
    await store.rate(1).reserve(100)

    assert await store.rate(1, name="other").reserve(1) == [0]


async def test_without_redis_a_node_takes_its_share() -> None:
    """An outage of Redis must not stop the greetings, and not lift the limit either."""
    now = 1000.0
    clients = connect("redis://127.0.0.1:1")
    limit = RedisRateLimit(clients.commands, 100, nodes=lambda: 5, clock=lambda: now)

    waits = await limit.reserve(3) + await limit.reserve(2)

    assert [later - earlier for earlier, later in pairwise(waits)] == pytest.approx([1 / 20] * 4)
    await clients.close()


async def test_redis_is_asked_again_when_it_may_be_back(redis_url: str) -> None:
    """The share of a node is a stopgap."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 1, clock=lambda: now)

        relay.freeze()
        await limit.reserve(1)
        relay.thaw()
        now += AWAY_FOR / 2
        await limit.reserve(1)
        assert not await clients.commands.exists("heyday:rate:email")
        now += AWAY_FOR
        await limit.reserve(1)
        assert await clients.commands.exists("heyday:rate:email")

        await clients.close()


async def test_a_node_that_does_without_redis_first_uses_the_places_it_has(redis_url: str) -> None:
    """Calls of both rows at the same time would be more than the service agreed to."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 2, clock=lambda: now)

        shared = await limit.reserve(20)
        relay.freeze()
        own = await limit.reserve(20)

        assert own[0] == pytest.approx(shared[-1] + 0.1, abs=0.001)
        relay.thaw()
        await clients.close()


async def test_all_wait_for_the_places_that_a_node_gave_itself_without_redis(redis_url: str) -> None:
    """They are still to be used when Redis is back."""
    now = 1000.0
    async with relayed(redis_url) as relay:
        clients, others = connect(relay.url), connect(redis_url)
        limit = RedisRateLimit(clients.commands, 10, nodes=lambda: 2, clock=lambda: now)
        other = RedisRateLimit(others.commands, 10, nodes=lambda: 2, clock=lambda: now)

        relay.freeze()
        own = await limit.reserve(50)
        relay.thaw()
        now += AWAY_FOR
        shared = await limit.reserve(1) + await other.reserve(1)

        assert shared[0] == pytest.approx(own[-1] + 0.2 - AWAY_FOR, abs=0.001)
        assert shared[1] == pytest.approx(shared[0] + 0.1, abs=0.05)
        await clients.close()
        await others.close()


async def test_unlimited_never_waits() -> None:
    """No rate is set by default."""
    assert await Unlimited().reserve(3) == [0, 0, 0]


@pytest.mark.parametrize("per_second", [0, -1, float("nan")])
async def test_a_rate_that_is_none_is_refused(per_second: float, clients: RedisClients) -> None:
    """A rate of 0 would wait for ever."""
    with pytest.raises(ValueError, match="a rate is above 0"):
        RedisRateLimit(clients.commands, per_second, nodes=lambda: 1)
