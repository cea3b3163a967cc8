"""A node with many silent connections greets and answers, and logs the limit."""

from __future__ import annotations

import asyncio
import socket

from tests.node.harness import World, heyday
from tests.stopwatch import Stopwatch

CONNECTIONS = 600
DESCRIPTORS = 256
GREETINGS = 200


async def test_600_silent_connections_stop_neither_greetings_nor_other_clients(world: World) -> None:
    """Each connection uses a descriptor, and opening one needs no key. Without the limit nothing was sent for 100 s."""
    await world.begin()
    node = await world.node(under=("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"))
    listening = await node.logged("api_listening")
    due = await world.wave(GREETINGS)
    silent: list[socket.socket] = []
    try:
        for _ in range(CONNECTIONS):
            silent.append(client := socket.socket())
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", listening["port"]))

        await world.clock.set(due)
        watch = Stopwatch()
        await world.accepted(GREETINGS)
        took = watch.seconds()
        status, _ = await node.get("/health/live")
    finally:
        for client in silent:
            client.close()

    assert took < 30
    assert status == 200
    assert listening["connections"] < DESCRIPTORS
    assert node.crashes() == []
    assert node.lines_of("connection_limit_reached")


async def test_a_taken_port_is_one_sentence_at_once(small_world: World) -> None:
    """Twenty restarts with twenty tracebacks did not name the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        node = await heyday("run", environment=small_world.environment(BIND=address))

        assert await node.ended() == 1

    assert node.said == [f"heyday: cannot listen on HEYDAY_BIND={address}: address already in use"]
    assert node.lines == []
