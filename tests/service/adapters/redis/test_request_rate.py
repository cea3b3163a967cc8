"""Requests are counted exactly, over all nodes and however many come at the same moment."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.request_rate import LocalRequestRate, RedisRequestRate
from service.settings import Rate


async def test_of_many_at_the_same_moment_exactly_so_many_are_allowed(clients: RedisClients) -> None:
    """They are counted together, which must not let one more through."""
    nodes = [RedisRequestRate(clients.commands, 50) for _ in range(2)]
    began = time.monotonic()

    taken = await asyncio.gather(*(nodes[number % 2].take("somebody") for number in range(200)))

    made_up_for = (time.monotonic() - began) * 50
    assert 50 <= sum(allowance.allowed for allowance in taken) <= 50 + made_up_for + 1
    assert {0, 10, 25, 49} <= {allowance.remaining for allowance in taken}


async def test_clients_that_ask_at_the_same_moment_are_counted_apart(clients: RedisClients) -> None:
    """One that is over its rate takes nothing from another."""
    rate = RedisRequestRate(clients.commands, 0.001)

    taken = await asyncio.gather(*(rate.take(client) for client in ("a", "b", "a", "c", "b")))

    assert [allowance.allowed for allowance in taken] == [True, True, False, True, False]


async def test_a_client_has_its_requests_back_after_the_window(clients: RedisClients) -> None:
    """A limit is a rate, not a ban."""
    rate = RedisRequestRate(clients.commands, 20)

    first = await asyncio.gather(*(rate.take("a") for _ in range(25)))
    await asyncio.sleep(max(allowance.retry_after for allowance in first) + 0.01)

    assert (await rate.take("a")).allowed


async def test_shared_and_local_counts_say_the_same(clients: RedisClients) -> None:
    """A client must not notice when Redis goes away."""
    shared, local = RedisRequestRate(clients.commands, 3), LocalRequestRate(3)

    for _ in range(5):
        ours, theirs = await shared.take("a"), await local.take("a")

        assert (ours.allowed, ours.remaining) == (theirs.allowed, theirs.remaining)
        # Each takes the time of its own request.
        assert ours.reset_after == pytest.approx(theirs.reset_after, abs=0.2)
        assert ours.retry_after == pytest.approx(theirs.retry_after, abs=0.2)


async def test_an_outage_is_met_once_by_all_who_ask_at_that_moment() -> None:
    """Each of a thousand requests waiting for its own deadline would be an outage of the API."""
    clients = connect("redis://127.0.0.1:1")
    rate = RedisRequestRate(clients.commands, 0.001)

    taken = await asyncio.gather(*(rate.take("a") for _ in range(10)))

    assert [allowance.allowed for allowance in taken] == [True] + [False] * 9
    await clients.close()


async def test_as_many_as_were_told_may_come_at_once(clients: RedisClients) -> None:
    """`5/m` is five requests, then one every twelve seconds, and not one every twelve seconds from the start."""
    told = Rate(5 / 60, 60)
    shared = RedisRequestRate(clients.commands, told.per_second, at_once=told.at_once)
    now = 0.0
    local = LocalRequestRate(told.per_second, at_once=told.at_once, clock=lambda: now)

    for rate in (shared, local):
        first = [(await rate.take("ada")).allowed for _ in range(6)]
        assert first == [True] * 5 + [False]
        assert rate.limit == 5
        assert rate.window == pytest.approx(60)
    now = 12.1
    assert [(await local.take("ada")).allowed for _ in range(2)] == [True, False]
