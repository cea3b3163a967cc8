"""Redis as a witness: what it remembers of the cluster, and what it makes of rubbish."""

from __future__ import annotations

from uuid import UUID

from service.adapters.redis.cluster import IN_USE, IN_USE_FOR, KEY, RedisClusterWitness
from service.adapters.redis.connection import RedisClients
from service.domain.cluster import Identity, Memory, Place
from service.ports import Recalled

IDENTITY = Identity(UUID(int=7), None, 41, Place("server/1/2", 3))


async def test_it_remembers_cluster_and_generation_and_for_a_while_the_database(clients: RedisClients) -> None:
    """A database that is not in use any more may be moved elsewhere."""
    witness = RedisClusterWitness(clients.commands)
    await witness.remember(IDENTITY)

    recalled = await witness.recall()

    assert recalled == Recalled(Memory(UUID(int=7), 41), "server/1/2")
    assert 0 < await clients.commands.ttl(IN_USE) <= IN_USE_FOR
    assert await clients.commands.ttl(KEY) == -1


async def test_an_emptied_one_remembers_nothing(clients: RedisClients) -> None:
    """That is no error: Redis may be emptied at any time."""
    assert await RedisClusterWitness(clients.commands).recall() == Recalled(None, None)


async def test_rubbish_is_no_memory_and_is_overwritten(clients: RedisClients) -> None:
    """Somebody's experiment must not stop the greetings."""
    witness = RedisClusterWitness(clients.commands)
    await clients.commands.rpush(KEY, "a", "list")
    await clients.commands.hset(IN_USE, "a", "hash")
    assert await witness.recall() == Recalled(None, None)
    await clients.commands.set(KEY, "no uuid at-all")
    assert (await witness.recall()).memory is None

    await witness.remember(IDENTITY)

    assert await witness.recall() == Recalled(Memory(UUID(int=7), 41), "server/1/2")
