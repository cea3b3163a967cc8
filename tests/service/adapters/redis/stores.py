"""One interface for the shared state of nodes, in Redis or in memory, so that one suite tests both."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Protocol

from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.connection import RedisClients
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.streams import GROUP, RedisWorkStream
from service.ports import AcceptedKeys, Entry, Locks, RateLimit, WorkStream
from tests.fakes.coordination import FakeAcceptedKeys, FakeLocks, FakeRateLimit
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream

NAME = "heyday:due"
"""The stream of the tests."""


class Store(Protocol):
    """The ports of nodes, and changes to the data behind them by time or an administrator."""

    def locks(self, owner: str) -> Locks:
        """The locks of that node."""

    def accepted(self) -> AcceptedKeys:
        """The accepted keys, with a late limit of 48 hours."""

    def rate(self, per_second: float | None, *, nodes: int = 1, name: str = "email") -> RateLimit:
        """A rate that this many nodes share."""

    def stream(self, node: str) -> WorkStream:
        """The stream of that node."""

    async def flush(self) -> None:
        """Delete everything."""

    async def expire(self, lock: str) -> None:
        """Let a lock expire."""

    async def delete(self, *entries: Entry) -> None:
        """Delete entries from the stream."""

    async def age(self, entry: Entry, consumer: str, seconds: float) -> None:
        """Let this much time pass since the consumer claimed the entry."""

    async def consumers(self) -> set[str]:
        """The consumers of the stream."""

    async def until_a_reader_waits(self) -> None:
        """Return when a reader waits for an entry."""


class ServerStore:
    """A Redis, or a Valkey."""

    def __init__(self, clients: RedisClients) -> None:
        self._clients = clients

    def locks(self, owner: str) -> Locks:
        return RedisLocks(self._clients.commands, owner=owner)

    def accepted(self) -> AcceptedKeys:
        return RedisAcceptedKeys(self._clients.commands, late_limit=timedelta(hours=48))

    def rate(self, per_second: float | None, *, nodes: int = 1, name: str = "email") -> RateLimit:
        return RedisRateLimit(self._clients.commands, per_second, nodes=lambda: nodes, name=name)

    def stream(self, node: str) -> WorkStream:
        return RedisWorkStream(self._clients.commands, self._clients.blocking, NAME, consumer=node)

    async def flush(self) -> None:
        await self._clients.commands.flushall()

    async def expire(self, lock: str) -> None:
        await self._clients.commands.pexpire(f"heyday:lock:{{{lock}}}", 0)

    async def delete(self, *entries: Entry) -> None:
        if entries:
            await self._clients.commands.xdel(NAME, *[entry.id for entry in entries])

    async def age(self, entry: Entry, consumer: str, seconds: float) -> None:
        idle = round(seconds * 1000)
        await self._clients.commands.xclaim(NAME, GROUP, consumer, 0, [entry.id], idle=idle, justid=True)

    async def consumers(self) -> set[str]:
        if not await self._clients.commands.exists(NAME) or not await self._clients.commands.xinfo_groups(NAME):
            return set()
        return {consumer["name"] for consumer in await self._clients.commands.xinfo_consumers(NAME, GROUP)}

    async def until_a_reader_waits(self) -> None:
        while not (await self._clients.commands.info("clients"))["blocked_clients"]:
            pass


class MemoryStore:
    """The fakes."""

    def __init__(self) -> None:
        self.memory = RedisMemory(monotonic=time.monotonic)

    def locks(self, owner: str) -> Locks:
        return FakeLocks(self.memory, owner=owner)

    def accepted(self) -> AcceptedKeys:
        return FakeAcceptedKeys(self.memory, late_limit=timedelta(hours=48))

    def rate(self, per_second: float | None, *, nodes: int = 1, name: str = "email") -> RateLimit:
        return FakeRateLimit(self.memory, per_second, name=name)

    def stream(self, node: str) -> WorkStream:
        return FakeWorkStream(self.memory, NAME, consumer=node)

    async def flush(self) -> None:
        self.memory.flush()

    async def expire(self, lock: str) -> None:
        self.memory.locks.pop(lock, None)

    async def delete(self, *entries: Entry) -> None:
        stream = self.memory.streams.get(NAME)
        for entry in entries if stream else ():
            assert stream is not None
            stream.entries.pop(int(entry.id), None)

    async def age(self, entry: Entry, consumer: str, seconds: float) -> None:
        group = self.memory.streams[NAME].group
        if group is not None and (pending := group.pending.get(int(entry.id))) is not None:
            pending.since, pending.consumer = self.memory.monotonic() - seconds, consumer

    async def consumers(self) -> set[str]:
        stream = self.memory.streams.get(NAME)
        return set(stream.group.consumers) if stream and stream.group else set()

    async def until_a_reader_waits(self) -> None:
        while not self.memory.bell(NAME).awaited:  # noqa: ASYNC110 -- it has no event for it
            await asyncio.sleep(0)
