"""SIGTERM in the middle of a wave: calls under way are finished and recorded, the rest is left to other nodes.

An exit code of 0 shows that the drain was complete within DRAIN_WITHIN.
"""

from __future__ import annotations

from actors.dispatcher import IDS_PER_BUNDLE
from actors.wiring import PREFETCH
from tests.node.harness import World

A_WAVE = PREFETCH * IDS_PER_BUNDLE + 200
"""More greetings than a node takes in advance."""


async def test_a_drained_node_leaves_nothing_half_done(world: World) -> None:
    """A deployment in the middle of a wave loses nothing and repeats nothing."""
    world.stub.change(world.stub.options.changed({"latency": 0.2}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="50", EMAIL_TIMEOUT="10s", DRAIN_WITHIN="20s")
    await world.clock.set(await world.wave(A_WAVE))
    await world.accepted(60)

    assert await node.drained() == 0

    requests = world.stub.ledger.requests
    counts = await world.counts()
    assert counts["sending"] == 0
    assert counts["sent"] == requests < A_WAVE
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", A_WAVE)
    await world.assert_each_was_accepted_once(A_WAVE)


async def test_a_drain_waits_for_the_calls_of_a_service_that_hangs(world: World) -> None:
    """Each call ends by its own time-out within the drain, so its outcome is recorded and no attempt is abandoned."""
    world.stub.change(world.stub.options.changed({"hangRate": 1.0}))
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="3s", DRAIN_WITHIN="20s", EMAIL_CONCURRENCY="20")
    await world.clock.set(await world.wave(A_WAVE))
    await world.stub.hang_began.wait()

    assert await node.drained() == 0

    assert node.lines_of("actor_abandoned_work") == []
    assert (await world.counts())["sending"] == 0
    assert await world.value("select count(*) from attempts") == world.stub.ledger.requests > 0
    world.stub.change(world.stub.options.changed({"hangRate": 0.0}))
    await world.node()
    await world.all_are("sent", A_WAVE)
    await world.assert_nobody_was_greeted_twice()


async def test_a_drained_node_gives_back_what_waits_for_its_turn(world: World) -> None:
    """At a low rate a bundle takes longer than a drain may, so messages that wait are not claimed yet."""
    await world.begin()
    node = await world.node(EMAIL_RATE="4/s", DRAIN_WITHIN="15s")
    await world.clock.set(await world.wave(100))
    await world.accepted(3)

    assert await node.drained() == 0

    assert (await world.counts())["sending"] == 0
    await world.node()
    await world.all_are("sent", 100)
    await world.assert_each_was_accepted_once(100)


async def test_a_drained_node_with_few_calls_at_a_time_leaves_the_rest_of_a_bundle(small_world: World) -> None:
    """A bundle of fifty with one call at a time would take half a minute; only claimed messages are finished."""
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="1", DELIVERY_ACTORS="1", DRAIN_WITHIN="15s")
    await world.clock.set(await world.wave(50))
    await world.accepted(3)

    assert await node.drained() == 0

    assert (await world.counts())["sending"] == 0
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", 50)
    await world.assert_each_was_accepted_once(50)


async def test_a_drain_does_not_wait_for_a_delivery_actor_to_be_free(small_world: World) -> None:
    """A bundle that no delivery actor has taken may go to another node; waiting could take minutes."""
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="1", DELIVERY_ACTORS="1", DRAIN_WITHIN="15s")
    await world.clock.set(await world.wave(400))
    await world.accepted(2)

    assert await node.drained() == 0

    assert node.lines_of("actor_abandoned_work") == []
    assert (await world.counts())["sending"] == 0
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.node()
    await world.all_are("sent", 400)
    await world.assert_each_was_accepted_once(400)
