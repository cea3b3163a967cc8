"""Health shows the state of each server within two seconds, also of one that does not answer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from actors.commands.sandbox.servers.relay import Relay, relayed
from actors.node import Node
from service.adapters.postgres.migrations import available
from service.domain.messages import EmailServiceName
from service.ports import CircuitState
from service.settings import Secret, Settings
from tests.node.harness import NodeProcess, World, eventually
from tests.service.node.steady import Steady
from tests.stopwatch import Stopwatch

URLS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "rabbitmq": "RABBITMQ_URL"}


async def timed(node: NodeProcess, path: str) -> tuple[float, int, Any]:
    """Return the seconds until the answer, its status and its JSON."""
    watch = Stopwatch()
    status, answer = await node.get(path)
    return watch.seconds(), status, answer


async def node_behind_relays(world: World, stack: AsyncExitStack) -> tuple[NodeProcess, dict[str, Relay]]:
    """A node that is ready, and the relay to each of its servers."""
    urls = {"postgres": world.dsn, "redis": world.redis_url, "rabbitmq": str(world.rabbitmq_url)}
    relays = {system: await stack.enter_async_context(relayed(url)) for system, url in urls.items()}
    settings: dict[str, Any] = {URLS[system]: relay.url for system, relay in relays.items()}
    node = await world.node(rehearsal=False, **settings)
    await eventually(node.ready)
    return node, relays


@pytest.mark.parametrize("system", ["postgres", "redis", "rabbitmq"])
async def test_a_server_that_freezes_shows_within_two_seconds(world: World, system: str) -> None:
    """A server that accepts connections and never answers is the worst case.

    The load balancer must stop sending requests in time.
    """
    async with AsyncExitStack() as stack:
        node, relays = await node_behind_relays(world, stack)

        relays[system].freeze()
        since_freeze = Stopwatch()
        while (last := await timed(node, "/health/ready"))[1] == 200:
            pass
        shown_after = since_freeze.seconds()
        detailed = await timed(node, "/health/detailed")
        live = await timed(node, "/health/live")
        relays[system].thaw()

        assert system in last[2]["missing"]
        assert shown_after < 2.5  # two seconds for the node, and some for the request
        assert (detailed[1], live[1]) == (200, 200)
        assert detailed[0] < 2
        check = {"postgres": "database"}.get(system, system)
        assert detailed[2][check]["status"] == "down"
        await eventually(node.ready)


async def test_a_redis_that_never_answers_shows_within_two_seconds(small_world: World) -> None:
    """Its connections stay open, but its commands never end."""
    node = await small_world.node(rehearsal=False)
    await eventually(node.ready)
    async with Redis.from_url(small_world.redis_url) as redis:
        await redis.execute_command("CLIENT", "PAUSE", "5000", "ALL")  # type: ignore[no-untyped-call]
        since_pause = Stopwatch()

        while (last := await timed(node, "/health/ready"))[1] == 200:
            pass

        assert since_pause.seconds() < 2.5
        assert last[2]["missing"] == ["redis"]
    await eventually(node.ready)


async def test_detailed_health_tells_of_the_database_the_queues_the_nodes_and_the_circuit(world: World) -> None:
    """It shows the schema version of the database, not the one that this version expects."""
    one, other = await world.node(rehearsal=False), await world.node(rehearsal=False)
    for node in (one, other):
        await eventually(node.ready)
    await world.fetch("delete from schema_migrations where number = $1", available()[-1].number)

    async def looked_again() -> Any:  # which it does once a second at most
        _, health = await one.get("/health/detailed")
        up = health["database"]["status"] == health["rabbitmq"]["status"] == "up"
        return health if up and health["database"]["schemaVersion"] == available()[-2].number else None

    health = await eventually(looked_again)

    assert sorted(health["database"]["nodes"]) == ["node-1", "node-2"]
    assert health["rabbitmq"]["queue"] == "heyday.delivery"
    assert health["rabbitmq"]["deadLetterQueue"] == "heyday.dead"
    assert health["email"].items() >= {"circuit": "closed", "failuresInARow": 0, "opensAfter": 20}.items()


async def test_an_actor_that_crashed_shows_its_last_error_without_the_text_of_the_row(small_world: World) -> None:
    """`/health/detailed` needs no key, so it must show no personal data."""
    await small_world.begin()
    node = await small_world.node()
    await node.logged("node_entered")
    await small_world.fetch("alter table fencing_tokens add constraint bug check (token < 0) not valid")
    await small_world.clock.set(await small_world.wave(1))
    await node.logged("actor_crashed", actor="ticker")

    _, health = await node.get("/health/detailed")

    [ticker] = [actor for actor in health["actors"]["children"] if actor["name"] == "ticker"]
    assert ticker["lastError"].startswith("CheckViolationError: sqlstate 23514")
    assert "constraint_name bug" in ticker["lastError"]
    assert ticker["restarts"] >= 1
    assert ticker["mailbox"]["capacity"] == 16


async def test_the_email_service_is_ill_until_its_circuit_is_closed_again() -> None:
    """A failed trial every half minute does not start a new outage."""
    steady = Steady()
    node = Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")), steady=steady)
    email, circuit = node._health.checks["email"], node.circuits[EmailServiceName.PRIMARY]
    steady.passes(60)
    well = await email()
    circuit.changed(CircuitState.CLOSED, CircuitState.OPEN)
    for _ in range(120):
        steady.passes(30)
        circuit.changed(CircuitState.OPEN, CircuitState.HALF_OPEN)
        circuit.changed(CircuitState.HALF_OPEN, CircuitState.OPEN)
    ill = await email()
    circuit.changed(CircuitState.OPEN, CircuitState.HALF_OPEN)
    circuit.changed(CircuitState.HALF_OPEN, CircuitState.CLOSED)

    assert [well["circuitSeconds"], ill["circuitSeconds"]] == [60, 3600]
    assert (await email())["circuitSeconds"] == 0
