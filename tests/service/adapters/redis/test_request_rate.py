"""Requests are counted exactly over all nodes, also when many arrive at the same moment."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.request_rate import LocalRequestRate, RedisRequestRate
from service.settings import Rate


async def test_of_many_at_the_same_moment_exactly_so_many_are_allowed(clients: RedisClients) -> None:
    """They are counted together, and not one more is allowed."""
    nodes = [RedisRequestRate(clients.commands, 50) for _ in range(2)]
    began = time.monotonic()

    taken = await asyncio.gather(*(nodes[number % 2].take("ann") for number in range(200)))

    made_up_for = (time.monotonic() - began) * 50
    assert 50 <= sum(allowance.allowed for allowance in taken) <= 50 + made_up_for + 1
    assert {0, 10, 25, 49} <= {allowance.remaining for allowance in taken}


async def test_clients_that_ask_at_the_same_moment_are_counted_apart(clients: RedisClients) -> None:
    """A client over its rate does not affect another."""
    rate = RedisRequestRate(clients.commands, 0.001)

    asked = ("a", "b", "a", "c", "b")
    taken = await asyncio.gather(*map(rate.take, asked))

    # Each request has its own connection, so Redis may see them in any order.
    allowed = [client for client, allowance in zip(asked, taken, strict=True) if allowance.allowed]
    assert sorted(allowed) == ["a", "b", "c"]


async def test_a_client_has_its_requests_back_after_the_window(clients: RedisClients) -> None:
    """After its time has passed, a client that was over its rate may send requests again."""
    rate = RedisRequestRate(clients.commands, 20)

    first = await asyncio.gather(*(rate.take("a") for _ in range(25)))
    await asyncio.sleep(max(allowance.retry_after for allowance in first) + 0.01)

    assert (await rate.take("a")).allowed


async def test_shared_and_local_counts_say_the_same(clients: RedisClients) -> None:
    """Clients must not notice an outage of Redis."""
    shared, local = RedisRequestRate(clients.commands, 3 / 60, burst=3), LocalRequestRate(3 / 60, burst=3)

    for _ in range(5):
        ours, theirs = await shared.take("a"), await local.take("a")

        assert (ours.allowed, ours.remaining) == (theirs.allowed, theirs.remaining)
        # Each takes the time of its own request.
        assert ours.reset_after == pytest.approx(theirs.reset_after, abs=5)
        assert ours.retry_after == pytest.approx(theirs.retry_after, abs=5)


async def test_an_outage_costs_concurrent_requests_one_deadline() -> None:
    """If each of a thousand requests waited for its own deadline, the API would be down."""
    clients = connect("redis://127.0.0.1:1")
    rate = RedisRequestRate(clients.commands, 0.001)

    taken = await asyncio.gather(*(rate.take("a") for _ in range(10)))

    assert [allowance.allowed for allowance in taken] == [True] + [False] * 9
    await clients.close()


async def test_as_many_as_were_told_may_come_at_once(clients: RedisClients) -> None:
    """`5/m` allows five requests at once, then one every twelve seconds."""
    told = Rate(5 / 60, 60)
    shared = RedisRequestRate(clients.commands, told.per_second, burst=told.burst)
    now = 0.0
    local = LocalRequestRate(told.per_second, burst=told.burst, clock=lambda: now)

    for rate in (shared, local):
        first = [(await rate.take("ada")).allowed for _ in range(6)]
        assert first == [True] * 5 + [False]
        assert rate.limit == 5
        assert rate.window == pytest.approx(60)
    now = 12.1
    assert [(await local.take("ada")).allowed for _ in range(2)] == [True, False]
