"""A broker that blocks publishers is seen before a greeting is due."""

from __future__ import annotations

from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer
from service.adapters.rabbitmq.link import BLOCKED
from tests.node.harness import World, eventually
from tests.servers import Servers


async def test_a_memory_alarm_is_named_by_health_and_metric_while_nothing_is_due(
    servers: Servers, world: World
) -> None:
    """Without it, the fault shows first at 09:00, when no greeting leaves."""
    broker = servers.rabbitmq
    if not isinstance(broker, RabbitMQServer):
        return  # one in a container has its own tools
    await world.begin()
    node = await world.node()

    async def ready() -> bool:
        return (await node.get("/health/ready"))[0] == 200

    async def named() -> bool:
        _, detailed = await node.get("/health/detailed")
        return BLOCKED in str(detailed) and not await ready()

    async def in_the_metric() -> bool:
        return await node.metric('dependency_up{system="rabbitmq"}') == 0

    await eventually(ready)
    await broker.control("set_vm_memory_high_watermark", "0.00001")
    try:
        await eventually(named)
        await eventually(in_the_metric)
    finally:
        await broker.control("set_vm_memory_high_watermark", "0.4")

    await eventually(ready)
    await world.clock.set(await world.wave(20))
    await world.all_are("sent", 20)
