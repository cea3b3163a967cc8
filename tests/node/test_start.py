"""The start of a node: it refuses wrong configurations with helpful messages, and waits for missing servers."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg

from actors.commands.sandbox.servers.relay import relayed
from tests.node.harness import NOON, World, eventually, heyday


async def test_a_real_node_refuses_a_database_whose_clock_was_moved(small_world: World) -> None:
    """A rehearsal's database must not be used as the real one."""
    await small_world.begin()

    node = await small_world.node(rehearsal=False)

    assert await node.ended() == 1
    assert "the business clock of this database is not the real one" in "\n".join(node.said)
    assert small_world.stub.ledger.requests == 0


async def test_a_database_that_cannot_hold_every_name_is_refused(small_world: World) -> None:
    """A name of another script would be an error for its user, and cut off an import."""
    name = f"latin_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(small_world.dsn)
    await connection.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    dsn = urlsplit(small_world.dsn)._replace(path=f"/{name}").geturl()
    try:
        migration = await heyday("migrate", environment={"HEYDAY_DATABASE_URL": dsn})
        node = await small_world.node(DATABASE_URL=dsn)

        assert (await migration.ended(), await node.ended()) == (1, 1)
        for said in (migration.said, node.said):
            assert "the database is encoded in LATIN1, and names of people need UTF8: make it anew" in "\n".join(said)
    finally:
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


async def test_a_rehearsal_refuses_an_email_service_elsewhere(small_world: World) -> None:
    """A rehearsal must not reach real people."""
    node = await small_world.node(EMAIL_URL="https://mail.example.com")

    assert await node.ended() == 2
    assert "--rehearsal: expected HEYDAY_EMAIL_URL on a loopback address" in "\n".join(node.said)


async def test_every_mistake_in_the_configuration_is_said_at_once_and_no_secret() -> None:
    """An operator needs all errors at once, and no password in a log."""
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
    """Servers start in any order. The node logs each missing one once, is not ready, and waits."""
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
        # Without Redis the node cannot check the identity of the database, so the rest waits.
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
    """A node that starts before `heyday migrate` must name the command, and must need no restart."""
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
    await eventually(node.ready)
    assert await world.clock.now() < NOON - timedelta(days=1)
