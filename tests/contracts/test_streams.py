"""Compares the fake of the streams with Redis: equal answers to equal calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import TypeVar

import pytest

from service.adapters.redis.connection import connect
from service.ports import Emptied, Entry, Requeued, StreamState, WorkStream
from tests.service.adapters.redis.stores import NAME, MemoryStore, ServerStore

T = TypeVar("T")

STEPS = 100
"""Steps per seed."""

NODES = "abc"

Pair = tuple[Entry, Entry]
"""One entry in Redis and in the fake."""


class Streams:
    """Both sides, and the entries that nodes have read and not finished."""

    def __init__(self, server: ServerStore, memory: MemoryStore, random: Random) -> None:
        self.server, self.memory = server, memory
        self._random = random
        self._taken: list[Pair] = []
        self._appended = 0
        self.steps: list[str] = []
        """The steps so far."""
        self._kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.append: 8,
            self.read: 10,
            self.unfinished: 3,
            self.finish: 5,
            self.requeue_abandoned: 6,
            self.age: 3,
            self.delete: 2,
            self.open: 1,
            self.flush: 1,
        }

    async def step(self) -> None:
        """Make one call, and compare the results."""
        [step] = self._random.choices(list(self._kinds), weights=list(self._kinds.values()))
        await step()
        await self._both("state", "a", lambda stream: stream.state(), _figures)
        oldest = [(await store.stream("a").state()).oldest_pending for store in (self.server, self.memory)]
        assert oldest[0] == pytest.approx(oldest[1], abs=5)
        # In some Redis releases an empty read makes a consumer; a removed one is gone in all.
        assert await self.server.consumers() <= await self.memory.consumers()

    async def append(self) -> None:
        bodies = [str(self._appended + number) for number in range(self._random.randint(0, 4))]
        self._appended += len(bodies)
        traceparent = self._random.choice([None, f"00-{self._appended:032x}-{1:016x}-01"])
        await self._both(f"append {bodies}", "a", lambda stream: stream.append(bodies, traceparent=traceparent))

    async def read(self) -> None:
        node, count = self._random.choice(NODES), self._random.randint(1, 4)
        await self._take(f"{node} reads {count}", node, lambda stream: stream.read(count=count, block=0))

    async def unfinished(self) -> None:
        node, count = self._random.choice(NODES), self._random.randint(1, 4)
        await self._take(f"{node} looks for {count} unfinished", node, lambda stream: stream.unfinished(count=count))

    async def finish(self) -> None:
        pairs = self._some(3)
        self.steps.append(f"finish {[pair[0].body for pair in pairs]}")
        for store, side in ((self.server, 0), (self.memory, 1)):
            await store.stream("b").finish([pair[side] for pair in pairs])

    async def requeue_abandoned(self) -> None:
        node = self._random.choice(NODES)
        living = self._random.sample(NODES, self._random.randint(0, 3))
        idle = self._random.choice([0.0, 100.0, 100.0, 3600.0])

        def told(requeued: Requeued) -> object:
            return requeued.entries, requeued.given_up

        await self._both(
            f"{node} puts back what is not of {living}, or idle for {idle} s",
            node,
            lambda stream: stream.requeue_abandoned(living=living, idle=idle),
            told,
        )

    async def age(self) -> None:
        """Make an entry's claim old."""
        stream = self.memory.memory.streams.get(NAME)
        pending = stream.group.pending if stream and stream.group else {}
        for of_server, of_memory in self._some(1):
            number = int(of_memory.id)
            # Redis drops a deleted entry only when it is claimed, not by time.
            if number in pending and stream and number in stream.entries:
                self.steps.append(f"age {of_server.body}")
                for store, entry in ((self.server, of_server), (self.memory, of_memory)):
                    await store.age(entry, pending[number].consumer, 200)

    async def delete(self) -> None:
        pairs = self._some(2)
        self.steps.append(f"delete {[pair[0].body for pair in pairs]}")
        await self.server.delete(*[pair[0] for pair in pairs])
        await self.memory.delete(*[pair[1] for pair in pairs])

    async def open(self) -> None:
        await self._both("open", "c", lambda stream: stream.open())

    async def flush(self) -> None:
        self.steps.append("flush")
        await self.server.flush()
        await self.memory.flush()

    def _some(self, most: int) -> list[Pair]:
        return self._random.sample(self._taken, min(most, len(self._taken)))

    async def _take(self, what: str, node: str, call: Callable[[WorkStream], Awaitable[list[Entry]]]) -> None:
        found = await self._both(
            what, node, call, lambda entries: [(entry.body, entry.traceparent) for entry in entries]
        )
        if found is not None:
            self._taken = [*self._taken, *zip(*found, strict=True)][-30:]

    async def _both(
        self,
        what: str,
        node: str,
        call: Callable[[WorkStream], Awaitable[T]],
        comparable: Callable[[T], object] = lambda answer: answer,
    ) -> tuple[T, T] | None:
        """Return the answers of Redis and of the fake; None if both were emptied."""
        self.steps.append(what)
        answers: list[T] = []
        for store in (self.server, self.memory):
            try:
                answers.append(await call(store.stream(node)))
            except Emptied:
                continue
        assert len(answers) in (0, 2), "only one of them said that it was emptied"
        if not answers:
            return None
        of_server, of_memory = answers
        assert comparable(of_server) == comparable(of_memory)
        return of_server, of_memory


def _figures(state: StreamState) -> object:
    return replace(state, oldest_pending=0.0)


async def test_the_fake_and_redis_agree_at_every_step(contract_seed: int, redis_url: str) -> None:
    """The simulation is only valid if the fakes behave like the servers."""
    clients = connect(redis_url)
    streams = Streams(ServerStore(clients), MemoryStore(), Random(contract_seed))

    try:
        for _ in range(STEPS):
            await streams.step()
    except AssertionError as difference:
        story = "\n  ".join(streams.steps[-10:])
        pytest.fail(f"seed {contract_seed}, step {len(streams.steps)}:\n  {story}\n{difference}")
    finally:
        await clients.close()
