"""A hold stops sending on every node within a second, spends nothing, and loses nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from actors.commands.sandbox.servers.relay import relayed
from tests.node.harness import NodeProcess, World, eventually
from tests.stopwatch import Stopwatch

BOUND = 1.0
"""Seconds after the answer at which no call begins any more."""


async def hold(node: NodeProcess, **fields: Any) -> dict[str, Any]:
    """Make a hold, and return it."""
    status, made = await node.call("POST", "/api/v1/holds", json={"reason": "a test", **fields})
    assert status == 201, made
    return dict(made)


async def release(node: NodeProcess, made: dict[str, Any]) -> None:
    """End a hold."""
    status, ended = await node.call("POST", f"/api/v1/holds/{made['id']}:release")
    assert (status, ended["active"]) == (200, False)


async def stops_calling(world: World, occasion: str | None = None) -> int:
    """Wait for the promised second, and check that no call follows for as long again. Return the calls so far."""
    watch = Stopwatch()

    async def promised_time_is_over() -> bool:  # on a machine that stays busy, after five times as long
        return watch.seconds() >= BOUND or watch.elapsed() >= 5 * BOUND

    await eventually(promised_time_is_over)
    calls = world.stub.ledger.requests
    await asyncio.sleep(BOUND)
    assert world.stub.ledger.requests == calls
    return calls


async def test_a_wave_on_three_nodes_is_held_in_its_midst_and_then_sent_once(world: World) -> None:
    """Queued, prefetched, claimed and waiting messages all go back, and nothing is spent."""
    world.stub.change(world.stub.options.changed({"latency": 0.02}))
    await world.begin()
    nodes = [await world.node(EMAIL_RATE="250/s", EMAIL_TIMEOUT="20s") for _ in range(3)]
    await world.clock.set(await world.wave(900))
    await world.accepted(200)
    made = await hold(nodes[0], **{"for": "2h"})
    calls = await stops_calling(world)
    assert calls < 900

    async def nothing_is_under_way() -> bool:
        return set(await world.counts()) <= {"sent", "scheduled", "retrying"}

    await eventually(nothing_is_under_way)
    assert await world.value("select max(attempts_spent) from messages where status <> 'sent'") == 0
    assert await nodes[1].metric('sending_held{occasion="all"}') == 1
    _, health = await nodes[2].get("/health/detailed")
    assert [(one["id"], one["reason"]) for one in health["holds"]["active"]] == [(made["id"], "a test")]
    await release(nodes[0], made)

    await world.all_are("sent", 900)
    await world.assert_each_was_accepted_once(900)
    assert await world.value("select count(*) from attempts") == 900
    await world.assert_nobody_was_greeted_early()


async def test_an_occasion_is_held_while_another_goes_on(world: World) -> None:
    """Held messages that are due earlier do not block the other occasion."""
    world.stub.change(world.stub.options.changed({"latency": 0.02}))
    await world.begin()
    nodes = [await world.node(EMAIL_RATE="250/s") for _ in range(3)]
    due = await world.wave(600)
    # The users after the first half have an anniversary instead, a moment later.
    await world.fetch(
        """
        update messages set occasion = 'anniversary', due_at = due_at + interval '1 ms'
        where id in (select id from messages order by id desc limit 300)
        """
    )
    made = await hold(nodes[1], occasion="birthday")
    await world.clock.set(due)

    async def sent() -> bool:
        return {
            row["occasion"]: row["count"]
            for row in await world.fetch("select occasion, count(*) from messages where status = 'sent' group by 1")
        } == {"anniversary": 300}

    await eventually(sent)
    await stops_calling(world)
    _, page = await nodes[0].get(
        f"/api/v1/preview?from={due:%Y-%m-%dT%H:%M:%SZ}&to={due + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    )
    assert {one["held"] and one["held"]["reason"] for one in page["items"] if one["occasion"] == "birthday"} == {
        "a test"
    }
    await release(nodes[2], made)

    await world.all_are("sent", 600)
    await world.assert_each_was_accepted_once(600)


async def test_several_holds_all_have_to_end_and_an_end_comes_by_business_time(world: World) -> None:
    """A hold that ends releases only what no other hold covers. Messages that are too late by then expire."""
    await world.begin()
    node = await world.node(LATE_LIMIT="3h")
    due = await world.wave(40)
    await hold(node, **{"for": "26h"})
    made = await hold(node, occasion="birthday")
    await world.clock.set(due)
    await stops_calling(world)
    await release(node, made)
    assert await stops_calling(world) == 0
    # 20 are too late when the other hold ends by itself, five hours after its wave.
    await world.fetch(
        "update messages set send_at = $1, due_at = $1 where id in (select id from messages order by id limit 20)",
        due + timedelta(hours=4),
    )
    await world.clock.set(due + timedelta(hours=5, seconds=1))

    async def ended() -> bool:
        return await world.counts() == {"sent": 20, "expired": 20}

    await eventually(ended)


async def test_a_node_that_cannot_read_the_holds_begins_no_call(world: World) -> None:
    """A new hold may exist that this node cannot see."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    await world.begin()
    async with relayed(world.dsn) as relay:
        away = await world.node(DATABASE_URL=relay.url, EMAIL_CONCURRENCY="50", EMAIL_RATE="40/s")
        due = await world.wave(400)
        await world.clock.set(due)
        await world.accepted(40)
        relay.swallow_answers()
        watch = Stopwatch()
        await world.fetch("insert into holds (reason, author) values ('a test', 'ops')")
        calls = await stops_calling(world)
        assert calls < 400
        assert watch.seconds() < 30
        relay.cut()
        relay.mend()
        await away.logged("sending_held")
        await world.fetch("update holds set released_at = business_now(), released_by = 'ops'")
        await world.all_are("sent", 400)

    await world.assert_nobody_was_greeted_twice()
