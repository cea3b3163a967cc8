"""Work streams in Redis with the consumer group `nodes`: each entry goes to one node until it is finished.

An entry has the fields `body` (readable text: try `XRANGE heyday:due - +`), `tries` (how often it was put back) and,
if its sender is traced, `traceparent`. A finished entry is deleted, so a stream is as long as its unfinished work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import redis.exceptions as errors
import structlog
from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from service.adapters.redis.connection import COMMAND_TIMEOUT, Reply, script, translating
from service.ports import Emptied, Entry, NodeName, Requeued, StreamState

GROUP = "nodes"

MAX_TRIES = 10
"""Times that an entry is put back. An entry that ten nodes did not finish is poison; recovery finds its rows again."""

REQUEUE_BATCH = 500
"""Entries put back by one run of the script. Redis does nothing else for those few milliseconds."""

log = structlog.get_logger(__name__)


class RedisWorkStream:
    """Implements `service.ports.WorkStream`, read as `consumer`, the name of the node."""

    def __init__(
        self, redis: Redis, blocking_redis: Redis, name: str, *, consumer: NodeName | str, max_length: int | None = None
    ) -> None:
        """`max_length` is the approximate number of entries to keep. The oldest are dropped, also unread ones."""
        self.name = name
        self._redis = redis
        self._blocking = blocking_redis
        self._consumer = consumer
        self._max_length = max_length
        self._was_there = False
        """False until the group was seen: at the first start of all nothing was lost."""
        self._requeue = script(redis, "requeue_abandoned")

    async def open(self) -> None:
        async with translating():
            await self._make_group()

    async def append(self, bodies: Sequence[str], *, traceparent: str | None = None) -> None:
        beside: dict[FieldT, EncodableT] = {"traceparent": traceparent} if traceparent is not None else {}
        async with translating(), self._redis.pipeline(transaction=False) as pipeline:
            for body in bodies:
                pipeline.xadd(self.name, {"body": body, "tries": 0, **beside}, maxlen=self._max_length)
            await pipeline.execute()

    async def read(self, *, count: int, block: float) -> list[Entry]:
        # An entry whose reply was lost is pending, and no node knows it: `unfinished` and `requeue_abandoned` find it.
        waits = block > 0
        client = self._blocking if waits else self._redis
        # BLOCK 0 waits for ever.
        milliseconds = max(1, round(block * 1000)) if waits else None
        async with self._remaking_the_group(), translating(within=max(block, 0) + COMMAND_TIMEOUT):
            reply = await client.xreadgroup(
                GROUP, str(self._consumer), {self.name: ">"}, count=count, block=milliseconds
            )
        return [_entry(entry, fields) for entry, fields in _entries(reply)]

    async def unfinished(self, *, count: int) -> list[Entry]:
        while True:
            async with self._remaking_the_group(), translating():
                reply = await self._redis.xreadgroup(GROUP, str(self._consumer), {self.name: "0"}, count=count)
                entries = _entries(reply)
                # A pending entry that was deleted from the stream can only be acknowledged.
                if deleted := [entry for entry, fields in entries if not fields]:
                    await self._redis.xack(self.name, GROUP, *deleted)
            if len(deleted) < len(entries) or not entries:
                return [_entry(entry, fields) for entry, fields in entries if fields]

    async def finish(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        ids = [entry.id for entry in entries]
        async with translating(), self._redis.pipeline(transaction=True) as transaction:
            transaction.xack(self.name, GROUP, *ids)
            transaction.xdel(self.name, *ids)
            await transaction.execute()

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        alive = {*living, str(self._consumer)}
        entries, given_up, more = 0, [], True
        while more:
            arguments: list[str | int] = [GROUP, round(idle * 1000), REQUEUE_BATCH, MAX_TRIES, *alive]
            async with self._remaking_the_group(), translating():
                reply: Reply = await self._requeue(keys=[self.name], args=arguments)
            entries += int(reply[0])
            given_up += reply[1]
            more = bool(reply[2])
        for body in given_up:
            log.error("stream_entry_given_up", stream=self.name, tries=MAX_TRIES, body=body[:200])
        return Requeued(entries, tuple(given_up))

    async def state(self) -> StreamState:
        try:
            async with translating(), self._redis.pipeline(transaction=False) as pipeline:
                pipeline.time()
                pipeline.xlen(self.name)
                pipeline.xpending(self.name, GROUP)
                replies: list[Reply] = await pipeline.execute(raise_on_error=False)
                for reply in replies:
                    if isinstance(reply, errors.RedisError):
                        raise reply
        except Emptied:  # without a group nothing is pending
            return StreamState(replies[1], {})
        (seconds, microseconds), length, pending = replies
        # The id of an entry begins with the millisecond of Redis' own clock at which it was appended.
        now = seconds + microseconds / 1e6
        appended = int(pending["min"].split("-")[0]) / 1000 if pending["min"] else now
        return StreamState(
            length,
            {consumer["name"]: int(consumer["pending"]) for consumer in pending["consumers"]},
            max(0.0, now - appended),
        )

    async def _make_group(self) -> None:
        try:
            # "0": entries that were appended before the group existed are work as well.
            await self._redis.xgroup_create(self.name, GROUP, id="0", mkstream=True)
        except errors.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # it exists
                raise

    @asynccontextmanager
    async def _remaking_the_group(self) -> AsyncIterator[None]:
        try:
            yield
        except Emptied:
            await self.open()
            if self._was_there:
                log.warning("stream_emptied", stream=self.name)
            raise
        self._was_there = True


def _entry(entry: str, fields: dict[str, str]) -> Entry:
    return Entry(entry, fields.get("body", ""), fields.get("traceparent"))


def _entries(reply: Reply) -> list[tuple[str, dict[str, str]]]:
    """The entries in the reply to an XREADGROUP of one stream."""
    return list(reply[0][1]) if reply else []
