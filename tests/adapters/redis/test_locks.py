"""Locks are held by one, expire, and number their holders ever higher."""

from __future__ import annotations

import asyncio

import pytest

from service.adapters.redis.connection import RedisClients
from service.adapters.redis.locks import RedisLocks

KEY = "heyday:lock:{ticker}"


@pytest.fixture
def locks(clients: RedisClients) -> RedisLocks:
    """The locks as node `a` sees them."""
    return RedisLocks(clients.commands, owner="a")


@pytest.fixture
def others(clients: RedisClients) -> RedisLocks:
    """The locks as node `b` sees them."""
    return RedisLocks(clients.commands, owner="b")


async def test_only_one_of_many_gets_the_lock(clients: RedisClients) -> None:
    """Mutual exclusion is what a lock is for."""
    contenders = [RedisLocks(clients.commands, owner=f"node {number}") for number in range(20)]

    numbers = await asyncio.gather(*(each.acquire("ticker", ttl=30) for each in contenders))

    assert sorted(number for number in numbers if number is not None) == [1]


async def test_a_person_can_read_who_holds_it(clients: RedisClients, locks: RedisLocks) -> None:
    """`GET heyday:lock:{ticker}` answers who is at work."""
    number = await locks.acquire("ticker", ttl=30)

    assert await clients.commands.get(KEY) == f"{number}:a"
    assert 29_000 < await clients.commands.pttl(KEY) <= 30_000


async def test_locks_of_different_names_do_not_meet(locks: RedisLocks, others: RedisLocks) -> None:
    """The ticker and the daily job run side by side."""
    assert await locks.acquire("ticker", ttl=30) == 1
    assert await others.acquire("daily", ttl=30) == 1


async def test_each_holder_has_a_higher_number(clients: RedisClients, locks: RedisLocks, others: RedisLocks) -> None:
    """A row that was written under a higher number refuses the late write of an earlier holder."""
    first = await locks.acquire("ticker", ttl=30)
    assert first is not None
    await locks.release("ticker", first)
    second = await others.acquire("ticker", ttl=30)
    await clients.commands.delete(KEY)  # as when it expires
    third = await locks.acquire("ticker", ttl=30)

    assert [first, second, third] == [1, 2, 3]


async def test_numbers_grow_even_after_redis_was_emptied(clients: RedisClients, locks: RedisLocks) -> None:
    """Redis forgets; the rows, whose highest number is handed in as `above`, do not."""
    number = await locks.acquire("ticker", ttl=30)
    assert number is not None
    await clients.commands.flushall()

    assert await locks.acquire("ticker", ttl=30, above=41) == 42


async def test_a_held_lock_can_be_renewed(clients: RedisClients, locks: RedisLocks) -> None:
    """Long work keeps its lock without one long ttl."""
    number = await locks.acquire("ticker", ttl=1)
    assert number is not None

    assert await locks.renew("ticker", number, ttl=60)

    assert await clients.commands.pttl(KEY) > 50_000


async def test_an_expired_lock_cannot_be_renewed(clients: RedisClients, locks: RedisLocks, others: RedisLocks) -> None:
    """The old holder has to learn that somebody else may be at work."""
    number = await locks.acquire("ticker", ttl=30)
    assert number is not None
    await clients.commands.pexpire(KEY, 0)

    assert not await locks.renew("ticker", number, ttl=30)
    assert await others.acquire("ticker", ttl=30) == number + 1
    assert not await locks.renew("ticker", number, ttl=30)


async def test_only_the_holder_can_release(clients: RedisClients, locks: RedisLocks, others: RedisLocks) -> None:
    """A late release must not open the lock of the next holder."""
    stale = await locks.acquire("ticker", ttl=30)
    assert stale is not None
    await clients.commands.pexpire(KEY, 0)
    number = await others.acquire("ticker", ttl=30)
    assert number is not None

    await locks.release("ticker", stale)
    await locks.release("ticker", number)  # the right number from the wrong owner

    assert await clients.commands.get(KEY) == f"{number}:b"


async def test_the_shortest_ttl_is_a_millisecond(locks: RedisLocks) -> None:
    """Redis refuses a ttl of 0, which rounding must not produce."""
    assert await locks.acquire("ticker", ttl=0.0001) == 1
