"""Two deployments on one server: the second is refused with a clear message, and the first is not affected."""

from __future__ import annotations

from tests.node.conftest import MakeWorld
from tests.node.harness import World, eventually


async def test_a_second_deployment_on_one_virtual_host_sends_nothing_and_says_why(
    world: World, another_world: MakeWorld
) -> None:
    """Each deployment took the other's bundles: 150 of 1,000 greetings still waited after 198 s, with no log line."""
    other = await another_world()
    other.rabbitmq_url = world.rabbitmq_url
    await world.begin()
    first = await world.node()

    async def ready() -> bool:
        return (await first.get("/health/ready"))[0] == 200

    await eventually(ready)
    due = await world.wave(100)
    await other.begin()
    second = await other.node(rabbitmq_patience=120.0)  # a slow broker would be the first outage
    refused = await second.logged("outage_began", system="rabbitmq")
    other_due = await other.wave(20)
    await other.clock.set(other_due)
    await world.clock.set(due)

    await world.all_are("sent", 100)

    assert "another deployment uses the queues of this virtual host" in refused["reason"]
    assert "virtual host of its own" in refused["reason"]
    assert (await second.get("/health/ready"))[0] == 503
    assert (await other.counts())["sent"] == 0
    await world.assert_nobody_was_greeted_twice()


async def test_a_second_deployment_on_one_redis_sends_nothing_and_says_why(
    small_world: World, another_world: MakeWorld
) -> None:
    """Nodes without the rows would claim its entries."""
    other = await another_world()
    other.redis_url = small_world.redis_url
    await small_world.begin()
    first = await small_world.node()
    await first.logged("cluster_identity_made")
    due = await small_world.wave(50)
    await other.begin()

    second = await other.node()
    refused = await second.logged("outage_began", system="cluster")
    await small_world.clock.set(due)
    await small_world.all_are("sent", 50)

    assert "each deployment needs its own Redis database" in refused["reason"]
    assert second.lines_of("node_entered") == []
