"""The fake of the port `WorkStream`: each entry goes to one node, until it is finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence

from service.adapters.redis.streams import MAX_TRIES
from service.ports import Emptied, Entry, NodeName, Requeued, StreamState
from tests.fakes.redis_memory import Group, Pending, RedisMemory, Stream


class FakeWorkStream:
    """Implements `service.ports.WorkStream` for one node. Its id is the name of its consumer."""

    def __init__(self, memory: RedisMemory, name: str, *, consumer: NodeName | str) -> None:
        self.name = name
        self._memory = memory
        self._name = consumer

    async def open(self) -> None:
        self._make_group()

    async def append(self, bodies: Sequence[str], *, traceparent: str | None = None) -> None:
        for body in bodies:
            self._memory.append(self.name, body, traceparent=traceparent)

    async def read(self, *, count: int, block: float) -> list[Entry]:
        until = asyncio.get_running_loop().time() + block
        while True:
            entries = self._take(count)
            if entries or not await self._memory.bell(self.name).heard(until=until):
                return entries

    async def unfinished(self, *, count: int) -> list[Entry]:
        stream, group = self._group()
        group.consumers.add(self._consumer)
        while oldest := self._pending_of(group, self._consumer)[:count]:
            there = [number for number in oldest if number in stream.entries]
            for number in oldest:
                if number not in stream.entries:  # it was deleted: acknowledge it
                    del group.pending[number]
            for number in there:  # for Redis this is another delivery
                group.pending[number].since = self._memory.monotonic()
            if there:
                return [_entry(stream, number) for number in there]
        return []

    async def finish(self, entries: Sequence[Entry]) -> None:
        if (stream := self._memory.streams.get(self.name)) is not None:
            for entry in entries:
                self._drop(stream, int(entry.id))

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        stream, group = self._group()
        alive = {*living, self._consumer}
        idle_since = self._memory.monotonic() - idle
        abandoned = [number for number, pending in sorted(group.pending.items()) if pending.since <= idle_since]
        for consumer in sorted(group.consumers - alive):
            abandoned += [number for number in self._pending_of(group, consumer) if number not in abandoned]
        put_back, given_up = 0, []
        for number in abandoned:
            entry = stream.entries.get(number)
            self._drop(stream, number)
            if entry is None:
                continue
            if entry.tries >= MAX_TRIES:
                given_up.append(entry.body)
            else:
                # Appended again, so that the group gives it to a free consumer.
                self._memory.append(self.name, entry.body, tries=entry.tries + 1, traceparent=entry.traceparent)
                put_back += 1
        group.consumers &= alive
        return Requeued(put_back, tuple(given_up))

    async def state(self) -> StreamState:
        stream = self._memory.streams.get(self.name, Stream())
        pending = stream.group.pending if stream.group else {}
        by_consumer = Counter(one.consumer for one in pending.values())
        oldest = self._memory.monotonic() - pending[min(pending)].appended_at if pending else 0.0
        return StreamState(len(stream.entries), dict(by_consumer), oldest)

    def _take(self, count: int) -> list[Entry]:
        """Claim up to `count` entries that no consumer has read."""
        stream, group = self._group()
        group.consumers.add(self._consumer)
        new = [number for number in sorted(stream.entries) if number > group.read_up_to][:count]
        for number in new:
            appended_at = stream.entries[number].appended_at
            group.pending[number] = Pending(self._consumer, self._memory.monotonic(), appended_at)
            group.read_up_to = number
        return [_entry(stream, number) for number in new]

    @property
    def _consumer(self) -> str:
        return str(self._name)

    def _pending_of(self, group: Group, consumer: str) -> list[int]:
        return [number for number, pending in sorted(group.pending.items()) if pending.consumer == consumer]

    def _drop(self, stream: Stream, number: int) -> None:
        stream.entries.pop(number, None)
        if stream.group is not None:
            stream.group.pending.pop(number, None)

    def _group(self) -> tuple[Stream, Group]:
        """Return stream and group. If they are missing, create them and raise Emptied."""
        stream = self._memory.streams.get(self.name)
        if stream is None or stream.group is None:
            self._make_group()
            raise Emptied(f"redis: no group of {self.name}")
        return stream, stream.group

    def _make_group(self) -> None:
        stream = self._memory.streams.setdefault(self.name, Stream())
        # From the beginning, because entries that were appended before the group existed are work, too.
        stream.group = stream.group or Group()


def _entry(stream: Stream, number: int) -> Entry:
    stored = stream.entries[number]
    return Entry(str(number), stored.body, stored.traceparent)
