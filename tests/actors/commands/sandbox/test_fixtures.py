"""The shared fixtures: database, clock and servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import asyncpg
import psutil  # type: ignore[import-untyped]  # ships no annotations
import pytest
from redis.asyncio import Redis

from actors.commands.sandbox.servers import rabbitmq as rabbitmq_server
from actors.commands.sandbox.servers.errors import ServerFailed
from actors.commands.sandbox.servers.postgres import PostgresServer
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer
from actors.commands.sandbox.servers.server import Server
from tests.actors.commands.sandbox.looking import listening, processes_of
from tests.conftest import Clock
from tests.servers import Servers

DURABLE = "kept-through-a-kill"


async def test_a_database_is_migrated_and_its_clock_is_real(database: str) -> None:
    """Tests start from the schema that users get."""
    connection = await asyncpg.connect(database)

    assert await connection.fetchval("select count(*) from messages") == 0
    assert await connection.fetchval("select business_now() = statement_timestamp() and business_rate() = 1")
    await connection.close()


async def test_a_postgres_that_is_killed_leaves_nothing_beside_its_data(servers: Servers, database: str) -> None:
    """POSIX shared memory would stay until the machine restarts, for each run of the tests a bit more."""
    if not isinstance(servers.postgres, PostgresServer):
        pytest.skip("a container takes its memory with it")
    connection = await asyncpg.connect(database)

    assert await connection.fetchval("select count(*) from pg_ls_dir('pg_dynshmem')") > 0
    await connection.close()


async def test_the_clock_shows_what_it_was_set_to_and_runs_on(database: str, clock: Clock) -> None:
    """Tests of lateness, leap days and outages move this clock instead of waiting."""
    start = datetime(2028, 2, 28, 23, 59, tzinfo=UTC)

    await clock.set(start)
    await clock.advance(timedelta(minutes=2))
    first = await clock.now()
    second = await clock.now()

    assert start + timedelta(minutes=2) <= first < start + timedelta(minutes=3)
    assert second > first


async def test_a_clock_with_a_rate_runs_that_much_faster(clock: Clock) -> None:
    """The demo depends on it."""
    await clock.rate(1_000_000)

    first = await clock.now()
    second = await clock.now()

    assert second - first > timedelta(minutes=1)


async def test_a_stopped_clock_stands_still(clock: Clock) -> None:
    """Tests that compare instants exactly need a stopped clock."""
    at = datetime(2027, 1, 1, 9, tzinfo=UTC)

    await clock.set(at)
    await clock.rate(0)
    first = await clock.now()
    second = await clock.now()

    assert first == second
    assert at <= first < at + timedelta(minutes=1)


@pytest.mark.usefixtures("database", "redis_url")
async def test_a_test_kills_every_server(servers: Servers, rabbitmq_url: str) -> None:
    """The next test shows that other tests are not affected, and that durable data is kept."""
    broker = servers.rabbitmq
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(DURABLE, durable=True)
        if isinstance(broker, RabbitMQServer):
            # RabbitMQ writes to disk only a moment later that there is a queue.
            await broker.control("eval", "mnesia:sync_log().")
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=DURABLE)

    for server in servers.all:
        await server.kill()

    assert not any(server.running for server in servers.all)
    if isinstance(broker, RabbitMQServer):
        assert processes_of(broker) == [], "the port mapper must go with the broker"


async def test_the_next_test_finds_every_server_running_again(
    servers: Servers, database: str, redis_url: str, rabbitmq_url: str
) -> None:
    """A killed server runs again for the next test, with the same address and data."""
    connection = await asyncpg.connect(database)
    await connection.close()
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
    async with await aio_pika.connect(rabbitmq_url) as broker:
        channel = await broker.channel()
        queue = await channel.declare_queue(DURABLE, durable=True)
        async with asyncio.timeout(30):  # a queue may still recover when its broker is back
            while (message := await queue.get(no_ack=True, fail=False)) is None:  # noqa: ASYNC110 - the broker sends no event
                await asyncio.sleep(0.1)
        await channel.queue_delete(DURABLE)

    assert all(server.running for server in servers.all)
    assert message.body == b"kept"


async def test_a_test_can_set_a_policy_of_the_broker(servers: Servers, rabbitmq_url: str) -> None:
    """A policy can limit a queue. A client cannot."""
    broker = servers.rabbitmq
    if not isinstance(broker, RabbitMQServer):
        return  # one in a container has its own tools
    await broker.control("set_policy", "full", "^bounded$", '{"max-length":1,"overflow":"reject-publish"}')
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("bounded", auto_delete=True)
        publish = channel.default_exchange.publish
        await publish(aio_pika.Message(b"the first"), routing_key=queue.name)

        with pytest.raises(aio_pika.exceptions.DeliveryError):
            await publish(aio_pika.Message(b"one too many"), routing_key=queue.name)

        await queue.delete(if_empty=False)
    with pytest.raises(ServerFailed, match="rabbitmqctl clear_policy"):
        await broker.control("clear_policy", "none of that name")
    await broker.control("clear_policy", "full")


@pytest.mark.usefixtures("rabbitmq_url")
async def test_a_control_that_hangs_is_ended(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would go on behind the tests that follow."""
    broker = servers.rabbitmq
    if not isinstance(broker, RabbitMQServer):
        return
    monkeypatch.setattr(rabbitmq_server, "CONTROL_WITHIN", 0.05)

    with pytest.raises(ServerFailed, match=r"clear_policy did not end within 0\.05 s"):
        await broker.control("clear_policy", "full")


@pytest.mark.usefixtures("rabbitmq_url")
async def test_a_broker_looks_for_its_modules_in_no_folder_of_a_plugin(servers: Servers) -> None:
    """There are 40 of them, and a start that looks in each takes half as much processor time again."""
    broker = servers.rabbitmq
    if not isinstance(broker, RabbitMQServer):
        return
    process = psutil.Process(broker.pid)

    folders = await asyncio.to_thread(lambda: list(Path(process.environ()["ERL_LIBS"]).iterdir()))

    names = {path.name.partition("-")[0] for path in folders}
    assert "rabbit" in names
    assert {name for name in names if name.startswith("rabbitmq_")} == {"rabbitmq_prelaunch"}


@pytest.mark.usefixtures("database", "redis_url", "rabbitmq_url")
async def test_no_server_is_reachable_from_other_machines_or_runs_as_root(servers: Servers) -> None:
    """Tests must not open the developer's machine to the network, nor give a server its powers."""
    private = [server for server in servers.all if isinstance(server, Server)]

    members = [process for server in private for process in processes_of(server)]

    assert {connection.laddr.ip for process in members for connection in listening(process)} <= {"127.0.0.1", "::1"}
    assert all(0 not in process.uids() for process in members)
