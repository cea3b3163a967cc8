"""Work handed out through Redis streams with the consumer group `nodes`: each entry to one node, until it is finished.

An entry has the fields `body`, text that a person can read with `XRANGE heyday:due - +`, `tries`, how often it was
put back, and `traceparent` where whoever appended it is traced. It is deleted when it is finished, so a stream is as
long as the work in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import redis.exceptions as errors
import structlog
from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from service.adapters.redis.connection import COMMAND_WITHIN, Reply, script, translating
from service.ports import Emptied, Entry, Requeued, StreamState

PLAN = "heyday:plan"
DUE = "heyday:due"
GROUP = "nodes"

MOST_TRIES = 10
"""How often an entry is put back. One that ten nodes did not finish is poison: its rows bring it up again, slowly."""

REQUEUE_AT_ONCE = 500
"""Entries put back by one run of the script: a few milliseconds in which Redis does nothing else."""

log = structlog.get_logger(__name__)


class RedisWorkStream:
    """The `WorkStream` of Redis, read as `consumer` (the node's id)."""

    def __init__(self, redis: Redis, blocking_redis: Redis, name: str, *, consumer: str, group: str = GROUP) -> None:
        self.name = name
        self._redis = redis
        self._blocking = blocking_redis
        self._consumer = consumer
        self._group = group
        self._requeue = script(redis, "requeue_abandoned")

    async def open(self) -> None:
        """Make stream and group where they do not exist. Raises Unavailable."""
        async with translating():
            await self._make_group()

    async def append(self, bodies: Sequence[str], *, traceparent: str | None = None) -> None:
        """Append an entry per body, in one round trip; `traceparent` travels with each.

        Raises Unavailable: then any of them may be in the stream.
        """
        beside: dict[FieldT, EncodableT] = {"traceparent": traceparent} if traceparent is not None else {}
        async with translating(), self._redis.pipeline(transaction=False) as pipeline:
            for body in bodies:
                pipeline.xadd(self.name, {"body": body, "tries": 0, **beside})
            await pipeline.execute()

    async def read(self, *, count: int, block: float) -> list[Entry]:
        """Claim up to `count` new entries, waiting up to `block` seconds for the first; 0 does not wait.

        Raises Unavailable; Emptied after finding the group gone and making it again. An entry whose reply was lost on
        the way is pending without anybody knowing: `unfinished` shows it, and `requeue_abandoned` puts it back.
        """
        waits = block > 0
        client = self._blocking if waits else self._redis
        # BLOCK 0 would wait for ever.
        milliseconds = max(1, round(block * 1000)) if waits else None
        async with self._remaking_the_group(), translating(within=max(block, 0) + COMMAND_WITHIN):
            reply = await client.xreadgroup(
                self._group, self._consumer, {self.name: ">"}, count=count, block=milliseconds
            )
        return [_entry(entry, fields) for entry, fields in _entries(reply)]

    async def unfinished(self, *, count: int) -> list[Entry]:
        """The oldest entries this node had claimed and not finished: read at (re)start.

        Raises Unavailable; Emptied as `read` does.
        """
        while True:
            async with self._remaking_the_group(), translating():
                reply = await self._redis.xreadgroup(self._group, self._consumer, {self.name: "0"}, count=count)
                entries = _entries(reply)
                # Pending, but deleted from the stream by somebody: there is nothing left but to acknowledge.
                if deleted := [entry for entry, fields in entries if not fields]:
                    await self._redis.xack(self.name, self._group, *deleted)
            if len(deleted) < len(entries) or not entries:
                return [_entry(entry, fields) for entry, fields in entries if fields]

    async def finish(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and delete, in one round trip. Raises Unavailable."""
        if not entries:
            return
        ids = [entry.id for entry in entries]
        async with translating(), self._redis.pipeline(transaction=True) as transaction:
            transaction.xack(self.name, self._group, *ids)
            transaction.xdel(self.name, *ids)
            await transaction.execute()

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        """Put back entries of consumers that are not `living`, and of any consumer once idle for `idle` seconds.

        This node counts as living. Consumers not living are removed once they have nothing pending.
        Raises Unavailable; Emptied as `read` does.
        """
        alive = {*living, self._consumer}
        entries, given_up, more = 0, [], True
        while more:
            arguments: list[str | int] = [self._group, round(idle * 1000), REQUEUE_AT_ONCE, MOST_TRIES, *alive]
            async with self._remaking_the_group(), translating():
                reply: Reply = await self._requeue(keys=[self.name], args=arguments)
            entries += int(reply[0])
            given_up += reply[1]
            more = bool(reply[2])
        for body in given_up:
            log.error("stream_entry_given_up", stream=self.name, tries=MOST_TRIES, body=body[:200])
        return Requeued(entries, tuple(given_up))

    async def state(self) -> StreamState:
        """Length and pending entries. Raises Unavailable."""
        try:
            async with translating():
                length = await self._redis.xlen(self.name)
                pending: Reply = await self._redis.xpending(self.name, self._group)
                seconds, microseconds = await self._redis.time() if pending["min"] else (0, 0)
        except Emptied:  # no group: nothing is pending
            return StreamState(length, {})
        # The id of an entry begins with the millisecond of Redis' own clock at which it was appended.
        appended = int(pending["min"].split("-")[0]) / 1000 if pending["min"] else 0.0
        return StreamState(
            length,
            {consumer["name"]: int(consumer["pending"]) for consumer in pending["consumers"]},
            max(0.0, seconds + microseconds / 1e6 - appended),
        )

    async def _make_group(self) -> None:
        try:
            # From "0": what was appended before the group existed is work as well.
            await self._redis.xgroup_create(self.name, self._group, id="0", mkstream=True)
        except errors.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # it exists
                raise

    @asynccontextmanager
    async def _remaking_the_group(self) -> AsyncIterator[None]:
        try:
            yield
        except Emptied:
            await self.open()
            log.warning("stream_emptied", stream=self.name)
            raise


def _entry(entry: str, fields: dict[str, str]) -> Entry:
    return Entry(entry, fields.get("body", ""), fields.get("traceparent"))


def _entries(reply: Reply) -> list[tuple[str, dict[str, str]]]:
    """The entries in the reply to an XREADGROUP of one stream."""
    return list(reply[0][1]) if reply else []
