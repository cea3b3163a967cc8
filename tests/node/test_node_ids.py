"""Two nodes with the same HEYDAY_NODE_ID are told apart."""

from __future__ import annotations

import re

from redis.asyncio import Redis

from tests.node.harness import World, eventually
from tests.stopwatch import Stopwatch


async def test_the_work_of_a_dead_node_with_a_shared_id_is_taken_over(small_world: World) -> None:
    """The living node took the entries for its own: greetings were 101 s late, and no log line said why."""
    world = small_world
    world.stub.change(world.stub.options.changed({"down": True}))
    await world.begin()
    living = await world.node(NODE_ID="twin", CIRCUIT_FAILURES="10000")
    await living.logged("node_entered")
    dying = await world.node(NODE_ID="twin", CIRCUIT_FAILURES="10000")
    shared = await dying.logged("node_id_shared", node_id="twin")
    await dying.logged("node_entered", node=shared["name"])
    _, metrics = await dying.get("/metrics")
    assert re.findall(r'^heyday_info\{node="([^"]*)"', metrics, re.MULTILINE) == [shared["name"]]
    _, health = await dying.get("/health/detailed")
    assert health["node"] == shared["name"]
    await world.clock.set(await world.wave(400))

    async def holds_something() -> bool:
        async with Redis.from_url(world.redis_url, decode_responses=True) as redis:
            pending = await redis.xpending("heyday:delivery", "nodes")
        return shared["name"] in {one["name"] for one in pending["consumers"]}

    await eventually(holds_something)
    await dying.kill()
    since_death = Stopwatch()
    world.stub.change(world.stub.options.changed({"down": False}))

    await world.all_are("sent", 400)
    assert since_death.seconds() < 30
    await world.assert_nobody_was_greeted_twice()


async def test_a_node_that_starts_again_under_its_id_is_no_other_node(small_world: World) -> None:
    """The first process ended in order, so its id is free."""
    world = small_world
    await world.begin()
    first = await world.node(NODE_ID="only")
    await first.logged("node_entered")
    await first.drained()

    again = await world.node(NODE_ID="only")
    await again.logged("node_entered")

    assert again.lines_of("node_id_shared") == []
