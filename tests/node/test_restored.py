"""Restored, cloned and moved databases: no node sends from one until an operator has adopted it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from service.adapters.redis.cluster import IN_USE, KEY
from tests.conftest import Clock
from tests.databases import KeptConnection
from tests.node.dumps import dump, restore
from tests.node.harness import NOON, NodeProcess, World, eventually, heyday
from tests.servers import Servers

PEOPLE = 20
LATER = timedelta(minutes=10)


@pytest.fixture
async def elsewhere(servers: Servers, small_world: World) -> str:
    """The URL of a second, empty database on the world's server."""
    name = small_world.dsn.rsplit("/", 1)[1] + "_restored"
    connection = await asyncpg.connect(servers.postgres.dsn("postgres"))
    await connection.execute(f'create database "{name}"')
    await connection.close()
    return servers.postgres.dsn(name)


async def drop(servers: Servers, world: World) -> None:
    """Drop the restored database of a world."""
    await world.close()
    connection = await asyncpg.connect(servers.postgres.dsn("postgres"))
    await connection.execute(f'drop database "{world.dsn.rsplit("/", 1)[1]}" with (force)')
    await connection.close()


async def half_a_minute_later(world: World) -> None:
    """Expire the mark that the previous database is in use."""
    async with Redis.from_url(world.redis_url) as redis:
        await redis.delete(IN_USE)


async def empty_redis(world: World) -> None:
    """Empty Redis."""
    async with Redis.from_url(world.redis_url) as redis:
        await redis.flushall()


async def waits_for_a_person(node: NodeProcess) -> None:
    """Check that the node is up, gives its reason, and holds no lease."""
    await node.logged("outage_began", system="cluster")

    async def says_so() -> bool:
        status, answer = await node.get("/health/ready")
        return status == 503 and "cluster" in answer["missing"]

    await eventually(says_so)
    _, detailed = await node.get("/health/detailed")
    reasons = [outage["reason"] for outage in detailed["outages"] if outage["system"] == "cluster"]
    assert "heyday doctor --adopt" in reasons[0]
    assert (await node.get("/health/live"))[0] == 200
    assert (await node.call("POST", "/api/v1/jobs/minute:run"))[0] in {202, 503}


async def doctor(world: World, *words: str) -> int:
    """Run `heyday doctor` with these arguments; return the exit code."""
    return await (await heyday("doctor", *words, environment=world.environment())).ended()


async def backed_up_and_then_sent(world: World, file: Path) -> None:
    """Plan a wave, back it up, then send it."""
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    due = await world.wave(PEOPLE)
    await dump(world.dsn, file)
    await world.clock.set(due)
    await world.all_are("sent", PEOPLE)
    assert await node.drained() == 0


async def restored_after_sending(world: World, elsewhere: str, file: Path) -> NodeProcess:
    """Send a wave after its backup, restore the backup `elsewhere`, and start a node there without Redis' keys."""
    await backed_up_and_then_sent(world, file)
    await restore(elsewhere, file)
    await empty_redis(world)
    await world.move(elsewhere)
    await world.clock.set(NOON + timedelta(hours=21) + LATER)
    node = await world.node(EMAIL_TIMEOUT="20s")
    await waits_for_a_person(node)
    return node


async def test_what_was_sent_after_the_backup_waits_for_a_person(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """Yesterday's backup does not know today's greetings; none may be repeated by mistake."""
    world = small_world
    node = await restored_after_sending(world, elsewhere, tmp_path / "backup")

    assert await doctor(world, "--adopt", "--dry-run") == 0
    assert await world.counts() == {"scheduled": PEOPLE}
    assert await world.fetch("select from audit where action = 'database.adopted'") == []
    assert await doctor(world, "--adopt") == 0
    adopted = "key_name = 'command line' and subject_id = (select id::text from cluster_identity)"
    assert await world.value(f"select action from audit where {adopted}") == "database.adopted"  # noqa: S608

    await node.logged("node_entered")
    await node.logged("outage_ended", system="cluster")
    for job in ("daily", "minute", "recovery"):
        assert (await node.call("POST", f"/api/v1/jobs/{job}:run"))[0] == 202
    assert await world.counts() == {"unknown": PEOPLE}
    assert await world.value("select count(*) from attempts where outcome = 'unknown'") == PEOPLE
    assert world.stub.ledger.accepted == PEOPLE
    await eventually(node.ready)
    await drop(servers, world)


async def test_what_was_sent_after_the_backup_is_sent_again_if_the_operator_says_so(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """It is sent under the same keys, so a service that honours them delivers once."""
    world = small_world
    await restored_after_sending(world, elsewhere, tmp_path / "backup")

    assert await doctor(world, "--adopt", "--resend") == 0

    await world.all_are("sent", PEOPLE)
    assert set(Counter(one.key for one in world.acceptances()).values()) == {2}
    await drop(servers, world)


@pytest.mark.parametrize(
    ("later", "words"),
    [(LATER, ("--resend",)), (timedelta(days=3), ())],
    ids=["ten minutes later", "three days later"],
)
async def test_what_redis_remembers_as_accepted_is_recorded_as_sent(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path, later: timedelta, words: tuple[str, ...]
) -> None:
    """Redis survived and is newer than the backup, so no operator has to decide.

    Otherwise messages sent longer ago than HEYDAY_LATE_LIMIT would expire, and a redrive would send them twice.
    """
    world = small_world
    await backed_up_and_then_sent(world, tmp_path / "backup")
    cluster, _ = await redis_remembers(world)
    async with Redis.from_url(world.redis_url) as redis:
        await redis.set(KEY, f"{cluster} 4000")  # the nodes continued for hours
    await half_a_minute_later(world)
    await restore(elsewhere, tmp_path / "backup")
    await world.move(elsewhere)
    await world.clock.set(NOON + timedelta(hours=21) + later)
    node = await world.node(EMAIL_TIMEOUT="20s")
    await waits_for_a_person(node)

    assert await doctor(world, "--adopt", *words) == 0

    assert await world.counts() == {"sent": PEOPLE}
    assert await world.value("select count(*) from attempts where outcome = 'accepted'") == PEOPLE
    assert world.stub.ledger.accepted == PEOPLE
    await drop(servers, world)


async def test_greetings_that_the_backup_had_not_planned_are_planned_and_held(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """A backup of last week has no rows for them, so they would be neither sent nor seen."""
    world = small_world
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    await world.users(PEOPLE, (NOON + timedelta(days=5)).date())
    await node.logged("node_entered")
    await eventually(lambda: is_planned(world))
    assert await node.drained() == 0
    await dump(world.dsn, tmp_path / "backup")
    await empty_redis(world)
    await restore(elsewhere, tmp_path / "backup")
    await world.move(elsewhere)
    await world.clock.set(NOON + timedelta(days=6))

    assert await doctor(world, "--adopt") == 0

    assert await world.counts() == {"unknown": PEOPLE}
    assert world.stub.ledger.requests == 0
    await drop(servers, world)


async def is_planned(world: World) -> bool:
    """Return True if all announced ranges are planned."""
    return bool(await world.value("select planned_until > business_now() + interval '1 day' from planning"))


async def test_a_backup_that_takes_the_place_of_the_database_of_a_running_node_stops_it(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """The node's own row is in the backup, so its heartbeat would succeed; only its memory shows the change."""
    world = small_world
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    due = await world.wave(PEOPLE)
    await dump(world.dsn, tmp_path / "backup")
    await world.clock.set(due)
    await world.all_are("sent", PEOPLE)
    await hours_pass(world)
    await empty_redis(world)

    await restore(elsewhere, tmp_path / "backup")
    restored = KeptConnection(elsewhere)
    await Clock(restored).set(due + LATER)  # all messages are due in it from the start
    await restored.close()
    await take_the_place_of(servers, world.dsn, elsewhere)
    await waits_for_a_person(node)

    for job in ("daily", "minute", "recovery"):
        await node.call("POST", f"/api/v1/jobs/{job}:run")
    assert set(await world.counts()) <= {"scheduled", "queued"}
    assert world.stub.ledger.accepted == PEOPLE


async def redis_remembers(world: World) -> tuple[str, int]:
    """Return the cluster and its generation in Redis."""
    async with Redis.from_url(world.redis_url, decode_responses=True) as redis:
        cluster, generation = str(await redis.get(KEY)).split(" ")
    return cluster, int(generation)


async def hours_pass(world: World) -> None:
    """Increase the generation as in some hours, and wait until the node has seen it."""
    generation = await world.value("update cluster_identity set generation = generation + 4000 returning generation")

    async def seen() -> bool:
        return (await redis_remembers(world))[1] >= int(generation)

    await eventually(seen)


async def take_the_place_of(servers: Servers, dsn: str, other: str) -> None:
    """Give the database at `other` the name of that at `dsn`, despite connections."""
    name, restored = (url.rsplit("/", 1)[1] for url in (dsn, other))
    connection = await asyncpg.connect(servers.postgres.dsn("postgres"))
    await connection.execute(f'alter database "{name}" with allow_connections false')
    await connection.fetch("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", name)
    await connection.execute(f'alter database "{name}" rename to "{name}_broken"')
    await connection.execute(f'alter database "{restored}" rename to "{name}"')
    await connection.execute(f'drop database "{name}_broken" with (force)')
    await connection.close()


async def test_a_database_that_moved_while_no_node_ran_is_the_same(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """After a new server or an upgrade by dump, Redis shows that nothing was lost, so no operator has to decide."""
    world = small_world
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    due = await world.wave(PEOPLE)
    assert await node.drained() == 0
    await dump(world.dsn, tmp_path / "backup")
    await restore(elsewhere, tmp_path / "backup")
    await half_a_minute_later(world)
    await world.move(elsewhere)

    moved = await world.node(EMAIL_TIMEOUT="20s")

    await moved.logged("database_moved")
    await moved.logged("node_entered")
    await world.clock.set(due)
    await world.all_are("sent", PEOPLE)
    await drop(servers, world)


async def test_a_copy_beside_the_database_at_work_is_refused_and_cannot_be_adopted(
    servers: Servers, small_world: World, elsewhere: str, tmp_path: Path
) -> None:
    """A test system with production's Redis must neither send nor stop production."""
    world = small_world
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    await node.logged("node_entered")
    await dump(world.dsn, tmp_path / "backup")
    await restore(elsewhere, tmp_path / "backup")
    at_work = world.dsn
    await world.move(elsewhere)

    copy = await world.node(EMAIL_TIMEOUT="20s")

    await waits_for_a_person(copy)
    assert await doctor(world, "--adopt") == 1
    await eventually(node.ready)
    await copy.kill()
    await node.kill()
    await drop(servers, world)
    await world.move(at_work)


async def test_a_node_of_another_cluster_does_not_work_with_the_database(small_world: World) -> None:
    """A copy of every file equals the original, except for the configuration of its nodes."""
    world = small_world
    await world.begin()
    first = await world.node(CLUSTER="production")
    await first.logged("node_entered")

    staging = await world.node(CLUSTER="staging")
    nameless = await world.node(EMAIL_TIMEOUT="20s")

    await waits_for_a_person(staging)
    await waits_for_a_person(nameless)
    await eventually(first.ready)


async def test_an_emptied_redis_and_new_nodes_need_no_operator(small_world: World) -> None:
    """Redis may be emptied at any moment, also while every node is down."""
    world = small_world
    await world.begin()
    node = await world.node(EMAIL_TIMEOUT="20s")
    due = await world.wave(PEOPLE)
    await empty_redis(world)
    await node.kill()
    await empty_redis(world)

    again = await world.node(EMAIL_TIMEOUT="20s")

    await again.logged("node_entered")
    await world.clock.set(due)
    await world.all_are("sent", PEOPLE)
    assert again.lines_of("outage_began", system="cluster") == []
