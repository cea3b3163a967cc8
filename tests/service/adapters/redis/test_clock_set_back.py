"""The clock of Redis is set back, as when a replica with a slow clock becomes the primary.

Redis stores instants: those of expiry, and those that the scripts write. The tests move these ahead instead of the
clock.
"""

from __future__ import annotations

import asyncio

import pytest

from service.adapters.redis.connection import RedisClients
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.request_rate import RedisRequestRate

HOUR = 3600


async def test_clients_of_the_api_are_not_refused_for_an_hour(clients: RedisClients) -> None:
    """At most they have used up their burst, and regain it at their rate."""
    await RedisRequestRate(clients.commands, 0.01).take("ann")  # its key lives for 100 s
    rate = RedisRequestRate(clients.commands, 10.0)
    [key] = await clients.commands.keys("heyday:requests:*")
    stored = int(await clients.commands.get(key) or 0)
    await clients.commands.set(key, stored + HOUR * 1_000_000, px=2 * HOUR * 1000)

    refused = await rate.take("ann")

    assert not refused.allowed
    assert refused.retry_after <= 0.11
    await asyncio.sleep(refused.retry_after + 0.01)  # the client does so, too
    assert (await rate.take("ann")).allowed


async def test_the_lock_of_a_dead_owner_is_free_after_its_time(clients: RedisClients) -> None:
    """Otherwise the ticker stands still for an hour, and no greeting leaves."""
    dead, other = RedisLocks(clients.commands, owner="dead"), RedisLocks(clients.commands, owner="other")
    began = asyncio.get_running_loop().time()
    token = await dead.acquire("ticker", ttl=0.2)
    await clients.commands.pexpire("heyday:lock:{ticker}", HOUR * 1000)

    async with asyncio.timeout(30):
        while (taken := await other.acquire("ticker", ttl=0.2)) is None:  # noqa: ASYNC110 -- it expires
            await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - began >= 0.2
    assert taken == (token or 0) + 1


async def test_a_lock_that_is_renewed_is_not_taken(clients: RedisClients) -> None:
    """A request for it shortens it to no less than its own duration."""
    owner, other = RedisLocks(clients.commands, owner="owner"), RedisLocks(clients.commands, owner="other")
    token = await owner.acquire("ticker", ttl=30)
    assert token is not None

    assert await other.acquire("ticker", ttl=30) is None

    assert await clients.commands.pttl("heyday:lock:{ticker}") == pytest.approx(30_000, abs=2_000)
    assert await owner.renew("ticker", token, ttl=30)
