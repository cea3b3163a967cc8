"""How a node begins: it refuses what it must not do in words that help, and waits for what is not there yet."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg

from service.embedded.relay import relayed
from tests.node.harness import NOON, World, eventually, heyday


async def test_a_real_node_refuses_a_database_whose_clock_was_moved(small_world: World) -> None:
    """Nobody's friends are to be greeted because a rehearsal's database was mistaken for the real one."""
    await small_world.begin()

    node = await small_world.node(rehearsal=False)

    assert await node.ended() == 3
    assert "the business clock of this database is not the real one" in "\n".join(node.said)
    assert small_world.stub.ledger.requests == 0


async def test_a_rehearsal_refuses_an_email_service_elsewhere(small_world: World) -> None:
    """A rehearsal's greetings must reach nobody."""
    node = await small_world.node(EMAIL_URL="https://mail.example.com")

    assert await node.ended() == 2
    assert "--rehearsal: expected HEYDAY_EMAIL_URL on a loopback address" in "\n".join(node.said)


async def test_every_mistake_in_the_configuration_is_said_at_once_and_no_secret() -> None:
    """Whoever sets up a node does not want to hear of them one by one, nor to read passwords in a log."""
    node = await heyday(
        "run",
        environment={
            "HEYDAY_DATABASE_URL": "mysql://user:sesame@host/db",
            "HEYDAY_REDIS_URL": "sesame",
            "HEYDAY_SEND_AT": "25:00",
            "HEYDAY_LATE_LIMIT": "two days",
            "HEYDAY_BIND": "0.0.0.0:8080",
            "HEYDAY_EMAIL_CONCURRENCY": "0",
            "HEYDAY_DAILY_CRON": "every day",
        },
    )

    assert await node.ended() == 2
    said = "\n".join(node.said)
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "EMAIL_URL",
        "SEND_AT",
        "LATE_LIMIT",
        "API_KEYS",
        "EMAIL_CONCURRENCY",
        "DAILY_CRON",
    ):
        assert f"HEYDAY_{name}" in said, name
    assert "sesame" not in said
    assert not any(line.startswith("Traceback") for line in node.said)


async def test_a_node_waits_for_each_server_and_the_schema_and_then_works(world: World) -> None:
    """Servers start in any order: each that is missing is said once, shown as not ready, and waited for."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(relayed(world.dsn))
        redis = await stack.enter_async_context(relayed(world.redis_url))
        rabbitmq = await stack.enter_async_context(relayed(str(world.rabbitmq_url)))
        for relay in (postgres, redis, rabbitmq):
            relay.cut()
        await world.begin()
        due = NOON + timedelta(hours=21)
        await world.users(50, due.date())
        await world.fetch("alter table schema_migrations rename to schema_migrations_later")
        node = await world.node(DATABASE_URL=postgres.url, REDIS_URL=redis.url, RABBITMQ_URL=rabbitmq.url)

        async def missing() -> set[str]:
            status, answer = await node.get("/health/ready")
            assert status == (503 if answer["missing"] else 200)
            assert (await node.get("/health/live"))[0] == 200
            # Lease and clock come with PostgreSQL.
            return set(answer["missing"]) - {"lease", "clock"}

        async def are_missing(*systems: str) -> None:
            async def so() -> bool:
                return await missing() == set(systems)

            await eventually(so)

        await are_missing("postgres", "redis", "rabbitmq")
        postgres.mend()

        async def said_that_the_schema_lacks() -> bool:
            _, detailed = await node.get("/health/detailed")
            return detailed["database"]["status"] == "up" and not node.lines_of("node_entered")

        await eventually(said_that_the_schema_lacks)
        await are_missing("postgres", "redis", "rabbitmq")
        await world.fetch("alter table schema_migrations_later rename to schema_migrations")
        # Without Redis as a witness nobody can tell whether this database is the one: the rest waits for that.
        await are_missing("redis", "rabbitmq")
        redis.mend()
        await are_missing("rabbitmq")
        rabbitmq.mend()
        await are_missing()

        await world.planned(50)
        await world.clock.set(due)
        await world.all_are("sent", 50)
        for system in ("postgres", "redis", "rabbitmq"):
            assert len(node.lines_of("outage_began", system=system)) == 1, system
            assert len(node.lines_of("outage_ended", system=system)) == 1, system
        assert node.crashes() == []
        assert await node.drained() == 0


async def test_a_database_without_schema_is_said_so_and_waited_for(small_world: World) -> None:
    """A node that starts before `heyday migrate` was run must say what to do, and need no restart afterwards."""
    world = small_world
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("drop schema public cascade; create schema public")
    await connection.close()
    node = await world.node(rehearsal=False)

    outage = await node.logged("outage_began", system="postgres")
    assert "run `heyday migrate`" in outage["reason"]
    migration = await heyday("migrate", environment={"HEYDAY_DATABASE_URL": world.dsn})
    assert await migration.ended() == 0

    await node.logged("outage_ended", system="postgres")
    await node.logged("node_entered")
    assert (await node.get("/health/ready"))[0] == 200
    assert await world.clock.now() < NOON - timedelta(days=1)
