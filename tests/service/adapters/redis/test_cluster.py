"""The cluster's identity that Redis remembers, and its treatment of invalid data."""

from __future__ import annotations

from uuid import UUID

from service.adapters.redis.cluster import IN_USE, IN_USE_FOR, KEY, RedisClusterWitness
from service.adapters.redis.connection import RedisClients
from service.domain.cluster import DatabaseLocation, Identity, Memory
from service.ports import Recalled

IDENTITY = Identity(UUID(int=7), None, 41, DatabaseLocation("server/1/2", 3))


async def test_it_remembers_cluster_and_generation_and_for_a_while_the_database(clients: RedisClients) -> None:
    """A database that is no longer used may be moved."""
    witness = RedisClusterWitness(clients.commands)
    await witness.remember(IDENTITY)

    recalled = await witness.recall()

    assert recalled == Recalled(Memory(UUID(int=7), 41), "server/1/2")
    assert 0 < await clients.commands.ttl(IN_USE) <= IN_USE_FOR
    assert await clients.commands.ttl(KEY) == -1


async def test_an_emptied_one_remembers_nothing(clients: RedisClients) -> None:
    """That is no error, because Redis may be emptied at any time."""
    assert await RedisClusterWitness(clients.commands).recall() == Recalled(None, None)


async def test_rubbish_is_no_memory_and_is_overwritten(clients: RedisClients) -> None:
    """Data of another program must not stop the greetings."""
    witness = RedisClusterWitness(clients.commands)
    await clients.commands.rpush(KEY, "a", "list")
    await clients.commands.hset(IN_USE, "a", "hash")
    assert await witness.recall() == Recalled(None, None)
    await clients.commands.set(KEY, "no uuid at-all")
    assert (await witness.recall()).memory is None

    await witness.remember(IDENTITY)

    assert await witness.recall() == Recalled(Memory(UUID(int=7), 41), "server/1/2")
