"""Locks have one owner, expire, and give growing fencing tokens."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.adapters.redis.connection import RedisClients
from service.adapters.redis.locks import RedisLocks
from service.ports import Locks
from tests.service.adapters.redis.stores import Store

KEY = "heyday:lock:{ticker}"


@pytest.fixture
def locks(store: Store) -> Locks:
    """The locks of node `a`."""
    return store.locks("a")


@pytest.fixture
def others(store: Store) -> Locks:
    """The locks of node `b`."""
    return store.locks("b")


async def test_only_one_of_many_gets_the_lock(store: Store) -> None:
    """Locks are exclusive."""
    contenders = [store.locks(f"node {number}") for number in range(20)]

    numbers = await asyncio.gather(*(each.acquire("ticker", ttl=30) for each in contenders))

    assert sorted(number for number in numbers if number is not None) == [1]


async def test_a_person_can_read_who_holds_it(clients: RedisClients) -> None:
    """`GET heyday:lock:{ticker}` shows the owner."""
    locks = RedisLocks(clients.commands, owner="a")
    number = await locks.acquire("ticker", ttl=30)

    assert await clients.commands.get(KEY) == f"{number}:a"
    assert 20_000 < await clients.commands.pttl(KEY) <= 30_000


async def test_locks_of_different_names_do_not_meet(locks: Locks, others: Locks) -> None:
    """The ticker and the daily job run at the same time."""
    assert await locks.acquire("ticker", ttl=30) == 1
    assert await others.acquire("daily", ttl=30) == 1


async def test_each_holder_has_a_higher_number(store: Store, locks: Locks, others: Locks) -> None:
    """A row written under a higher token refuses a late write of an earlier owner."""
    first = await locks.acquire("ticker", ttl=30)
    assert first is not None
    await locks.release("ticker", first)
    second = await others.acquire("ticker", ttl=30)
    await store.expire("ticker")
    third = await locks.acquire("ticker", ttl=30)

    assert [first, second, third] == [1, 2, 3]


async def test_numbers_grow_even_after_redis_was_emptied(store: Store, locks: Locks) -> None:
    """The rows keep the highest token, which callers pass as `above`."""
    number = await locks.acquire("ticker", ttl=30)
    assert number is not None
    await store.flush()

    assert await locks.acquire("ticker", ttl=30, above=41) == 42


async def test_a_held_lock_can_be_renewed(clients: RedisClients) -> None:
    """Long work needs no long time to live."""
    locks = RedisLocks(clients.commands, owner="a")
    number = await locks.acquire("ticker", ttl=30)
    assert number is not None

    assert await locks.renew("ticker", number, ttl=60)

    assert await clients.commands.pttl(KEY) > 50_000


async def test_an_expired_lock_cannot_be_renewed(store: Store, locks: Locks, others: Locks) -> None:
    """The old owner must learn that another node may be at work."""
    number = await locks.acquire("ticker", ttl=30)
    assert number is not None
    await store.expire("ticker")

    assert not await locks.renew("ticker", number, ttl=30)
    assert await others.acquire("ticker", ttl=30) == number + 1
    assert not await locks.renew("ticker", number, ttl=30)


async def test_only_the_holder_can_release(store: Store, locks: Locks, others: Locks) -> None:
    """A late release must not free the lock of the next owner."""
    stale = await locks.acquire("ticker", ttl=30)
    assert stale is not None
    await store.expire("ticker")
    number = await others.acquire("ticker", ttl=30)
    assert number is not None

    await locks.release("ticker", stale)
    await locks.release("ticker", number)  # the right number from the wrong owner

    assert await others.renew("ticker", number, ttl=30)


async def test_a_lock_expires_by_itself(locks: Locks, others: Locks) -> None:
    """Its owner may be dead."""
    began = time.monotonic()
    assert await locks.acquire("ticker", ttl=0.05) == 1

    async with asyncio.timeout(60):
        while (number := await others.acquire("ticker", ttl=30)) is None:  # noqa: ASYNC110 -- as a ticker asks
            await asyncio.sleep(0.01)

    assert number == 2
    assert time.monotonic() - began >= 0.05


async def test_the_shortest_ttl_is_a_millisecond(locks: Locks) -> None:
    """Redis refuses a time to live of 0, which rounding must not produce."""
    assert await locks.acquire("ticker", ttl=0.0001) == 1
