"""SIGTERM in the middle of a wave: what is on the wire is finished and written down, the rest is left to the others."""

from __future__ import annotations

from tests.node.harness import World

A_WAVE = 1_200
"""More than a node takes ahead."""


async def test_a_drained_node_leaves_nothing_half_done(world: World) -> None:
    """A deployment in the middle of a wave doubles and loses nothing."""
    world.stub.change(world.stub.options.changed({"latency": 0.2}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="50", DRAIN_WITHIN="8s")
    await world.clock.set(await world.wave(A_WAVE))
    await world.accepted(60)

    assert await node.drained(within=9) == 0

    requests = world.stub.ledger.requests
    counts = await world.counts()
    assert counts["sending"] == 0
    assert counts["sent"] == requests < A_WAVE
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", A_WAVE)
    assert len(world.acceptances()) == len({one.key for one in world.acceptances()}) == A_WAVE


async def test_the_drain_deadline_holds_when_the_service_hangs(world: World) -> None:
    """What is still on the wire then has an unknown outcome, is found as such, and is sent again under its key."""
    world.stub.change(world.stub.options.changed({"hangRate": 1.0}))
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="60s", DRAIN_WITHIN="1s")
    await world.clock.set(await world.wave(A_WAVE))
    await world.stub.hang_began.wait()

    # Beyond the deadline: what was cancelled has two seconds to let go.
    assert await node.drained(within=5) == 1

    requests = world.stub.ledger.requests
    assert node.lines_of("actor_abandoned_work")
    world.stub.change(world.stub.options.changed({"hangRate": 0.0}))
    await world.node()
    await world.all_are("sent", A_WAVE)
    assert (await world.excused()).total() >= requests > 0
    await world.assert_nobody_was_greeted_twice()


async def test_a_drained_node_gives_back_what_waits_for_its_turn(world: World) -> None:
    """Under a low rate limit a bundle takes longer than a drain may: what has no turn yet was not claimed."""
    await world.begin()
    node = await world.node(EMAIL_RATE="4/s", DRAIN_WITHIN="5s")
    await world.clock.set(await world.wave(100))
    await world.accepted(3)

    assert await node.drained(within=6) == 0

    assert (await world.counts())["sending"] == 0
    await world.node()
    await world.all_are("sent", 100)
    assert len(world.acceptances()) == 100


async def test_a_drained_node_with_few_calls_at_a_time_leaves_the_rest_of_a_bundle(small_world: World) -> None:
    """A bundle of fifty, one call at a time, would take half a minute: only what is claimed is finished."""
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="1", DELIVERY_ACTORS="1", DRAIN_WITHIN="6s")
    await world.clock.set(await world.wave(50))
    await world.accepted(3)

    assert await node.drained(within=8) == 0

    assert (await world.counts())["sending"] == 0
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", 50)
    assert len(world.acceptances()) == 50


async def test_a_drain_does_not_wait_for_a_delivery_actor_to_be_free(small_world: World) -> None:
    """A bundle that no delivery actor has taken yet is another node's as well: to wait for one could take minutes."""
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="1", DELIVERY_ACTORS="1", DRAIN_WITHIN="6s")
    await world.clock.set(await world.wave(400))
    await world.accepted(2)

    assert await node.drained(within=8) == 0

    assert node.lines_of("actor_abandoned_work") == []
    assert (await world.counts())["sending"] == 0
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", 400)
    assert len(world.acceptances()) == 400
