"""Health says how things are within two seconds, whatever a server does: also when it does nothing at all."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.node import Node
from service.adapters.postgres.migrations import available
from service.embedded.relay import Relay, relayed
from service.ports import CircuitState
from service.settings import Secret, Settings
from tests.node.harness import NodeProcess, World, eventually
from tests.service.steady import Steady

URLS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "rabbitmq": "RABBITMQ_URL"}


async def timed(node: NodeProcess, path: str) -> tuple[float, int, Any]:
    """Seconds until the answer, its status and its JSON."""
    began = time.monotonic()
    status, answer = await node.get(path)
    return time.monotonic() - began, status, answer


async def node_behind_relays(world: World, stack: AsyncExitStack) -> tuple[NodeProcess, dict[str, Relay]]:
    """A node that is ready, and the relay to each of its servers."""
    urls = {"postgres": world.dsn, "redis": world.redis_url, "rabbitmq": str(world.rabbitmq_url)}
    relays = {system: await stack.enter_async_context(relayed(url)) for system, url in urls.items()}
    settings: dict[str, Any] = {URLS[system]: relay.url for system, relay in relays.items()}
    node = await world.node(rehearsal=False, **settings)
    await eventually(ready(node))
    return node, relays


def ready(node: NodeProcess) -> Callable[[], Awaitable[bool]]:
    """Whether the node is ready."""

    async def is_ready() -> bool:
        return (await node.get("/health/ready"))[0] == 200

    return is_ready


@pytest.mark.parametrize("system", ["postgres", "redis", "rabbitmq"])
async def test_a_server_that_freezes_shows_within_two_seconds(world: World, system: str) -> None:
    """A black hole accepts connections and answers nothing: the worst that a network does, and the load balancer must
    not send requests into it for longer than that."""
    async with AsyncExitStack() as stack:
        node, relays = await node_behind_relays(world, stack)

        relays[system].freeze()
        froze_at = time.monotonic()
        while (last := await timed(node, "/health/ready"))[1] == 200:
            pass
        shown_after = time.monotonic() - froze_at
        detailed = await timed(node, "/health/detailed")
        live = await timed(node, "/health/live")
        relays[system].thaw()

        assert system in last[2]["missing"]
        assert shown_after < 2.5  # two of ours, and some for a machine that does other things, too
        assert (detailed[1], live[1]) == (200, 200)
        assert detailed[0] < 2
        check = {"postgres": "database"}.get(system, system)
        assert detailed[2][check]["status"] == "down"
        await eventually(ready(node))


async def test_a_redis_that_answers_nobody_shows_within_two_seconds(small_world: World) -> None:
    """Its connections stay open and its machine answers: only its commands never end."""
    node = await small_world.node(rehearsal=False)
    await eventually(ready(node))
    async with Redis.from_url(small_world.redis_url) as redis:
        await redis.execute_command("CLIENT", "PAUSE", "5000", "ALL")  # type: ignore[no-untyped-call]
        paused_at = time.monotonic()

        while (last := await timed(node, "/health/ready"))[1] == 200:
            pass

        assert time.monotonic() - paused_at < 2.5
        assert last[2]["missing"] == ["redis"]
    await eventually(ready(node))


async def test_detailed_health_tells_of_the_database_the_queues_the_nodes_and_the_circuit(world: World) -> None:
    """The schema is the one that the database has, not the one that this version would like it to have."""
    one, other = await world.node(rehearsal=False), await world.node(rehearsal=False)
    for node in (one, other):
        await eventually(ready(node))
    await world.fetch("delete from schema_migrations where number = $1", available()[-1].number)

    async def looked_again() -> bool:  # which it does once a second at most
        return bool((await one.get("/health/detailed"))[1]["database"]["schemaVersion"] == available()[-2].number)

    await eventually(looked_again)
    _, health = await one.get("/health/detailed")

    assert sorted(health["database"]["nodes"]) == ["node-1", "node-2"]
    assert health["rabbitmq"]["queue"] == "heyday.delivery"
    assert health["rabbitmq"]["deadLetterQueue"] == "heyday.dead"
    assert health["email"].items() >= {"circuit": "closed", "failuresInARow": 0, "opensAfter": 20}.items()


async def test_an_actor_that_crashed_shows_its_last_error_without_the_text_of_the_row(small_world: World) -> None:
    """It is shown to whoever asks, without a key."""
    await small_world.begin()
    node = await small_world.node()
    await node.logged("node_entered")
    await small_world.fetch("alter table fences add constraint bug check (number < 0) not valid")
    await small_world.clock.set(await small_world.wave(1))
    await node.logged("actor_crashed", actor="ticker")

    _, health = await node.get("/health/detailed")

    [ticker] = [actor for actor in health["actors"]["children"] if actor["name"] == "ticker"]
    assert ticker["lastError"].startswith("CheckViolationError: sqlstate 23514")
    assert "constraint_name bug" in ticker["lastError"]
    assert ticker["restarts"] >= 1
    assert ticker["mailbox"]["capacity"] == 16


async def test_the_email_service_is_ill_until_its_circuit_is_closed_again() -> None:
    """A trial that fails every half minute does not begin the outage anew: it is hours old."""
    steady = Steady()
    node = Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")), steady=steady)
    email = node._checks()["email"]
    steady.passes(60)
    well = await email()
    node._circuit_changed(CircuitState.CLOSED, CircuitState.OPEN)
    for _ in range(120):
        steady.passes(30)
        node._circuit_changed(CircuitState.OPEN, CircuitState.HALF_OPEN)
        node._circuit_changed(CircuitState.HALF_OPEN, CircuitState.OPEN)
    ill = await email()
    node._circuit_changed(CircuitState.OPEN, CircuitState.HALF_OPEN)
    node._circuit_changed(CircuitState.HALF_OPEN, CircuitState.CLOSED)

    assert [well["circuitSeconds"], ill["circuitSeconds"]] == [60, 3600]
    assert (await email())["circuitSeconds"] == 0
