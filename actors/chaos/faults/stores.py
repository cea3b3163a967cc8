"""Faults of what distributes the work: Redis and the delivery queue are emptied, killed and restarted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from actors.chaos.faults.fault import Fault, Need

if TYPE_CHECKING:
    from actors.chaos.stage import Stage


class FlushRedis(Fault):
    """Everything in Redis is gone: streams, groups, locks, remembered keys."""

    name: ClassVar[str] = "flush-redis"
    does: ClassVar[str] = "FLUSHALL"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def strike(self, stage: Stage) -> str:
        return f"{await stage.servers.flush_redis()} keys"


class KillRedis(Fault):
    """Redis dies and comes back with what its file has."""

    name: ClassVar[str] = "kill-redis"
    does: ClassVar[str] = "kill -9 Redis and start it again some seconds later"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def strike(self, stage: Stage) -> str:
        server = stage.servers.own.redis
        await server.kill()
        await asyncio.sleep(away := self.seconds(0.5, 6))
        await server.start()
        return f"away for {away:.1f} s"


class FillRedis(Fault):
    """Redis has no memory left, and may throw nothing away: it answers reads, and refuses every write."""

    name: ClassVar[str] = "fill-redis"
    does: ClassVar[str] = "let Redis reach its maxmemory (noeviction), so that it refuses writes, for some seconds"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_SERVERS,)

    async def strike(self, stage: Stage) -> str:
        async with stage.servers.redis_full() as used:
            await asyncio.sleep(lasts := self.seconds(3, 12))
        return f"{used / 1e6:.1f} MB for {lasts:.1f} s"


class PurgeQueue(Fault):
    """The bundles in the delivery queue are gone, and nobody is told."""

    name: ClassVar[str] = "purge-queue"
    does: ClassVar[str] = "empty the delivery queue"

    async def strike(self, stage: Stage) -> str:
        return f"{await stage.servers.purge_queue()} bundles"


class DeleteQueue(Fault):
    """The delivery queue itself is gone."""

    name: ClassVar[str] = "delete-queue"
    does: ClassVar[str] = "delete the delivery queue"

    async def strike(self, stage: Stage) -> str:
        return f"with {await stage.servers.delete_queue()} bundles"


class RestartRabbitMQ(Fault):
    """RabbitMQ is stopped in order and started again."""

    name: ClassVar[str] = "restart-rabbitmq"
    does: ClassVar[str] = "stop RabbitMQ in order and start it again"
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_RABBITMQ,)

    async def strike(self, stage: Stage) -> str:
        server = stage.servers.own.rabbitmq
        assert server is not None  # noqa: S101 - it is needed
        await server.restart()
        return ""
