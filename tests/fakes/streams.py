"""The fake of the port `WorkStream`: each entry to one node, until it is finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence

from service.adapters.redis.streams import MOST_TRIES
from service.ports import Emptied, Entry, Requeued, StreamState
from tests.fakes.redis_memory import Group, Pending, RedisMemory, Stream


class FakeWorkStream:
    """Implements `service.ports.WorkStream` for one node, whose id is its consumer name."""

    def __init__(self, memory: RedisMemory, name: str, *, consumer: str) -> None:
        self.name = name
        self._memory = memory
        self._consumer = consumer

    async def open(self) -> None:
        self._make_group()

    async def append(self, bodies: Sequence[str]) -> None:
        for body in bodies:
            self._memory.append(self.name, body)

    async def read(self, *, count: int, block: float) -> list[Entry]:
        until = asyncio.get_running_loop().time() + block
        while True:
            entries = self._take(count)
            if entries or not await self._memory.bell(self.name).heard(until=until):
                return entries

    async def unfinished(self, *, count: int) -> list[Entry]:
        stream, group = self._group()
        mine = [number for number, pending in sorted(group.pending.items()) if pending.consumer == self._consumer]
        for number in mine:
            if number not in stream.entries:  # somebody deleted it: there is nothing left but to acknowledge
                del group.pending[number]
        return [Entry(str(number), stream.entries[number][0]) for number in mine if number in stream.entries][:count]

    async def finish(self, entries: Sequence[Entry]) -> None:
        if (stream := self._memory.streams.get(self.name)) is not None:
            for entry in entries:
                self._drop(stream, int(entry.id))

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        stream, group = self._group()
        alive = {*living, self._consumer}
        idle_since = self._memory.monotonic() - idle
        put_back, given_up = 0, []
        for number, pending in sorted(group.pending.items()):
            if pending.consumer in alive and pending.since > idle_since:
                continue
            entry = stream.entries.get(number)
            self._drop(stream, number)
            if entry is None:
                continue
            body, tries = entry
            if tries >= MOST_TRIES:
                given_up.append(body)
            else:
                # Appended anew, so that the group hands it to whoever is free.
                self._memory.append(self.name, body, tries=tries + 1)
                put_back += 1
        group.consumers &= alive
        return Requeued(put_back, tuple(given_up))

    async def state(self) -> StreamState:
        stream = self._memory.streams.get(self.name, Stream())
        pending = stream.group.pending.values() if stream.group else ()
        return StreamState(len(stream.entries), dict(Counter(one.consumer for one in pending)))

    def _take(self, count: int) -> list[Entry]:
        """Claim up to `count` entries that nobody has read."""
        stream, group = self._group()
        group.consumers.add(self._consumer)
        new = [number for number in sorted(stream.entries) if number > group.read_up_to][:count]
        for number in new:
            group.pending[number] = Pending(self._consumer, self._memory.monotonic())
            group.read_up_to = number
        return [Entry(str(number), stream.entries[number][0]) for number in new]

    def _drop(self, stream: Stream, number: int) -> None:
        stream.entries.pop(number, None)
        if stream.group is not None:
            stream.group.pending.pop(number, None)

    def _group(self) -> tuple[Stream, Group]:
        """Stream and group. Raises Emptied, after making them again, when they are gone."""
        stream = self._memory.streams.get(self.name)
        if stream is None or stream.group is None:
            self._make_group()
            raise Emptied(f"redis: no group of {self.name}")
        return stream, stream.group

    def _make_group(self) -> None:
        stream = self._memory.streams.setdefault(self.name, Stream())
        # From the beginning: what was appended before the group existed is work as well.
        stream.group = stream.group or Group()
