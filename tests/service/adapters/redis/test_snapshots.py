"""Texts that nodes share: read by all, renewed by one at a time, and forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.snapshots import TEXT_KEPT, RedisSnapshots
from service.ports import Unavailable


async def test_one_of_many_who_look_gets_the_turn(clients: RedisClients) -> None:
    """The others get the text that there is, or nothing the first time."""
    nodes = [RedisSnapshots(clients.commands) for _ in range(10)]

    first = await asyncio.gather(*(node.look("now", fresh=60) for node in nodes))
    await nodes[0].share("now", "ä", fresh=60)
    again = await asyncio.gather(*(node.look("now", fresh=60) for node in nodes))

    assert [one.text for one in first] == [None] * 10
    assert sum(one.turn for one in first) == 1
    assert {(one.text, one.turn) for one in again} == {("ä", False)}
    assert all(0 <= one.age < 30 for one in again)


async def test_a_text_that_is_not_fresh_is_somebodys_turn_again(clients: RedisClients) -> None:
    """A node that dies while it computes holds up the others for a moment only. The text stays for that time."""
    snapshots = RedisSnapshots(clients.commands)
    await snapshots.share("now", "x", fresh=60)
    [turn] = [key async for key in clients.commands.scan_iter("heyday:watch:turn:*")]
    await clients.commands.delete(turn)  # as if its time were over

    found = await snapshots.look("now", fresh=60)

    assert (found.text, found.turn) == ("x", True)
    assert 0 < await clients.commands.ttl(turn) <= 60
    assert 60 < await clients.commands.ttl("heyday:watch:text:now") <= TEXT_KEPT


async def test_reports_are_read_by_name(clients: RedisClients) -> None:
    """A node that has said nothing lately has none; every report is forgotten after a while."""
    snapshots = RedisSnapshots(clients.commands)
    await snapshots.report("node-1", "one")
    await snapshots.report("node 2", "two")

    assert await snapshots.reports(["node 2", "node-3", "node-1"]) == ["two", None, "one"]
    assert await snapshots.reports([]) == []
    assert 0 < await clients.commands.ttl("heyday:watch:node:node-1") <= 10


async def test_a_value_of_another_type_is_replaced(clients: RedisClients) -> None:
    """Another program may write anything into Redis, and no page may fail of it."""
    snapshots = RedisSnapshots(clients.commands)
    await clients.commands.hset("heyday:watch:text:now", "a", "b")

    found = await snapshots.look("now", fresh=60)
    await snapshots.share("now", "x", fresh=60)

    assert (found.text, found.turn) == (None, True)
    assert (await snapshots.look("now", fresh=60)).text == "x"


@pytest.mark.parametrize("call", ["look", "share", "report", "reports"])
async def test_a_redis_that_is_away_is_an_outage(call: str) -> None:
    """Callers do without, and wait no longer than for a call."""
    clients = connect("redis://127.0.0.1:1/0")
    snapshots = RedisSnapshots(clients.commands)
    calls: dict[str, Any] = {
        "look": lambda: snapshots.look("now", fresh=5),
        "share": lambda: snapshots.share("now", "x", fresh=5),
        "report": lambda: snapshots.report("node-1", "x"),
        "reports": lambda: snapshots.reports(["node-1"]),
    }

    with pytest.raises(Unavailable):
        await calls[call]()

    await clients.close()
