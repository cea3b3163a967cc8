"""Faults of Redis and of the delivery queue: emptied, killed, full, deleted, restarted, shared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from actors.commands.chaos.faults.connections import connections_ended, nodes_cut_off
from actors.commands.chaos.faults.fault import EFFECT_WITHIN, Fault, LostBundles, Need, NoEffect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment

FILLED_WITHIN = 10.0
"""Seconds in which a bundle must be in the delivery queue."""


class FlushRedis(Fault):
    """Redis loses everything: streams, consumer groups, locks, remembered keys."""

    name: ClassVar[str] = "flush-redis"
    does: ClassVar[str] = "delete everything in Redis (FLUSHALL)"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        if not (keys := await environment.servers.flush_redis()):
            raise NoEffect("Redis was empty")
        return f"{keys} keys"


class KillRedis(Fault):
    """Redis is killed and comes back with the data of its file."""

    name: ClassVar[str] = "kill-redis"
    does: ClassVar[str] = "kill -9 Redis and start it again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        server = environment.servers.own.redis
        async with connections_ended(environment, "redis"):
            await server.kill()
            await asyncio.sleep(away := self.seconds(0.5, 6))
            await server.start()
        return f"away for {away:.1f} s"


class FillRedis(Fault):
    """Redis has no memory left and may evict nothing: it answers reads and refuses writes."""

    name: ClassVar[str] = "fill-redis"
    does: ClassVar[str] = "let Redis reach maxmemory with noeviction, so that it refuses writes for some seconds"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def inject(self, environment: Environment) -> str:
        async with environment.servers.redis_full() as refused:

            async def refuses() -> bool:
                return await refused() > 0

            await asyncio.sleep(lasts := self.seconds(3, 12))
            if not await environment.until(refuses, within=EFFECT_WITHIN):
                raise NoEffect("Redis refused no write")
            writes = await refused()
        return f"{writes} writes refused in {lasts:.1f} s"


class PurgeQueue(LostBundles):
    """The delivery queue loses all its bundles."""

    name: ClassVar[str] = "purge-queue"
    does: ClassVar[str] = "cut the nodes off from the delivery queue, so that it has all bundles, and empty it"
    recovery: ClassVar[str] = "every message that was in the queue has left it; heyday finds them after 90 s"
    needs: ClassVar[tuple[Need, ...]] = (Need.RELAYED_RABBITMQ,)

    async def inject(self, environment: Environment) -> str:
        purged = 0

        async def emptied() -> bool:
            nonlocal purged
            purged = await environment.servers.purge_queue()
            return purged > 0

        with nodes_cut_off(environment, environment.fleet.slots):
            if not await environment.until(emptied, within=FILLED_WITHIN):
                raise NoEffect("the delivery queue was empty")
        return f"{purged} bundles"


class DeleteQueue(Fault):
    """The delivery queue is deleted."""

    name: ClassVar[str] = "delete-queue"
    does: ClassVar[str] = "delete the delivery queue"

    async def inject(self, environment: Environment) -> str:
        consumers = 0

        async def consumed() -> bool:
            nonlocal consumers
            consumers = await environment.servers.consumers()
            return consumers > 0

        # The nodes take bundles in advance, so it may have none. A deleted queue always loses its consumers.
        if not await environment.until(consumed, within=EFFECT_WITHIN):
            raise NoEffect("no node consumed from the delivery queue")
        return f"with {await environment.servers.delete_queue()} bundles and {consumers} consumers"


class RestartRabbitMQ(Fault):
    """RabbitMQ is stopped in order and started again."""

    name: ClassVar[str] = "restart-rabbitmq"
    does: ClassVar[str] = "stop RabbitMQ in order and start it again"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_RABBITMQ,)

    async def inject(self, environment: Environment) -> str:
        server = environment.servers.own.rabbitmq
        assert server is not None  # noqa: S101 - it is needed
        async with connections_ended(environment, "rabbitmq"):
            await server.restart()
        return ""


class ShareQueue(LostBundles):
    """A stranger uses the same delivery queue: it takes bundles of heyday and publishes its own messages there."""

    name: ClassVar[str] = "share-queue"
    does: ClassVar[str] = "let a stranger consume bundles from the delivery queue, and publish ids and rubbish into it"
    recovery: ClassVar[str] = "every message that the stranger took has left the queue; heyday finds them after 90 s"
    needs: ClassVar[tuple[Need, ...]] = (Need.RABBITMQ, Need.RELAYED_RABBITMQ)

    async def inject(self, environment: Environment) -> str:
        lasts = self.seconds(3, 8)
        async with environment.servers.stranger_at_the_queue() as taken:

            async def took() -> bool:
                return taken() > 0

            with nodes_cut_off(environment, environment.fleet.slots):
                if not await environment.until(took, within=FILLED_WITHIN):
                    raise NoEffect("the stranger found no bundle")
            await asyncio.sleep(lasts)
        return f"took {taken()} bundles in {lasts:.1f} s"
