"""The doctor tells what only running nodes know."""

from __future__ import annotations

import asyncio
import os

from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer
from service.adapters.rabbitmq.checkup import look
from tests.forks import folder_of_heyday
from tests.node.harness import World, eventually
from tests.servers import Servers


async def doctor(world: World) -> tuple[int | None, str]:
    """Run `heyday doctor`. Return the exit code, and the output with each run of white space as one space."""
    process = await asyncio.create_subprocess_exec(
        f"{folder_of_heyday()}/heyday",
        "doctor",
        env={"PATH": os.environ["PATH"], **world.environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, " ".join(said.decode().split())


async def told(world: World, sentence: str) -> str:
    """Run the doctor until it says this in an error, which takes until the next report of the node. Return the rest."""

    async def rest() -> str | None:
        code, said = await doctor(world)
        _, found, rest = said.partition(f"ERROR {sentence}")
        return rest if found and code == 1 else None

    return str(await eventually(rest, every=0.5))


async def test_the_doctor_names_an_email_service_that_nodes_call_no_more(small_world: World) -> None:
    """It answered GET, so the doctor was content, while every greeting waited."""
    world = small_world
    world.stub.change(world.stub.options.changed({"down": True}))
    await world.begin()
    nodes = [await world.node(CIRCUIT_FAILURES="1", CIRCUIT_RESET="1h") for _ in range(2)]
    await world.clock.set(await world.wave(400))
    for node in nodes:
        await node.logged("circuit_opened")

    rest = await told(world, "no greeting leaves by node-1, node-2 since ")
    assert "the email service accepts none (refusing)" in rest


async def test_the_doctor_names_a_policy_that_also_drops_the_dead_letters(servers: Servers, world: World) -> None:
    """A policy for every queue is usual. It deletes the copies of bundles in which the doctor looks for its trace."""
    broker = servers.rabbitmq
    if not isinstance(broker, RabbitMQServer):
        return  # one in a container has its own tools
    await world.begin()
    world.stub.change(world.stub.options.changed({"latency": 1.0}))
    node = await world.node(EMAIL_CONCURRENCY="1")
    due = await world.wave(1500)
    await broker.control("set_policy", "every", "^", '{"message-ttl":1}', "--apply-to", "queues")
    try:
        await world.clock.set(due)
        await node.logged("queue_policy_detected", policy="message-ttl")
        rest = await told(world, "a policy with message-ttl dropped bundles of heyday.delivery ")
        assert (await look(broker.url)).policies == ()  # its dead letters are gone
    finally:
        await broker.control("clear_policy", "every")

    assert "as node node-1 says" in rest
