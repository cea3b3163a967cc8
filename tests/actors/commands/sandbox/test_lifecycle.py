"""Start, restart, stop and kill of private servers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from actors.commands.sandbox.servers import rabbitmq as rabbitmq_module
from actors.commands.sandbox.servers import server as server_module
from actors.commands.sandbox.servers.errors import DirectoryInUse, PortTaken, ServerFailed
from actors.commands.sandbox.servers.ports import free_port, is_free
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer
from actors.commands.sandbox.servers.redis import RedisServer
from actors.commands.sandbox.servers.server import Server
from tests.actors.commands.sandbox.looking import listening, processes_of


async def test_postgres_keeps_its_data_and_address_through_stop_and_kill(place: Path, made: list[Server]) -> None:
    """The second demo shows the users of the first, and clients reconnect to the same URL."""
    postgres = PostgresServer(place / "postgres", settings=UNWRITTEN)
    made.append(postgres)
    await postgres.start()
    first = postgres.dsn()
    connection = await asyncpg.connect(first)
    await connection.execute("create table kept (word text); insert into kept values ('Ærø')")
    await connection.close()

    await postgres.restart()
    await postgres.kill()
    await postgres.start()

    assert postgres.dsn() == first
    connection = await asyncpg.connect(first)
    assert await connection.fetchval("select lower(word) from kept") == "ærø"
    await connection.close()


async def test_another_process_finds_data_address_and_password_again(place: Path, made: list[Server]) -> None:
    """The URLs that the demo prints stay the same."""
    yesterday = RedisServer(place / "redis")
    await yesterday.start()
    async with Redis.from_url(yesterday.url) as client:
        await client.set("word", "kept")
    await yesterday.stop()

    today = RedisServer(place / "redis")
    made.append(today)
    await today.start()

    assert today.url == yesterday.url
    async with Redis.from_url(today.url) as client:
        assert await client.get("word") == b"kept"


async def test_starting_a_running_server_changes_nothing(place: Path, made: list[Server]) -> None:
    """Fixtures call `start` again and again."""
    redis = RedisServer(place / "redis")
    made.append(redis)
    await redis.start()
    before = redis.pid

    await redis.start()

    assert redis.pid == before


async def test_a_directory_has_one_owner_at_a_time(place: Path, made: list[Server]) -> None:
    """Two demos in one checkout must not stop each other's servers."""
    owner = RedisServer(place / "redis")
    made.append(owner)
    await owner.start()

    with pytest.raises(DirectoryInUse):
        await RedisServer(place / "redis").start()

    assert owner.running


async def test_a_server_listens_on_loopback_only_and_is_not_root(place: Path, made: list[Server]) -> None:
    """A demo must not be reachable from the network."""
    made += [PostgresServer(place / "postgres", settings=UNWRITTEN), RedisServer(place / "redis")]

    for server in made:
        await server.start()

    for server in made:
        members = processes_of(server)
        sockets = [socket for process in members for socket in listening(process)]
        assert {socket.laddr for socket in sockets} == {("127.0.0.1", server.port)}
        assert all(0 not in process.uids() for process in members)


async def test_the_password_is_for_the_account_alone(place: Path, made: list[Server]) -> None:
    """Other users of the machine can list processes and read unprotected files."""
    redis = RedisServer(place / "redis")
    made.append(redis)
    await redis.start()
    password = (place / "redis" / "password").read_text()

    shown = [word for process in processes_of(redis) for word in process.cmdline()]

    assert password in redis.url
    assert not any(password in word for word in shown)
    assert stat.S_IMODE((place / "redis" / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((place / "redis").stat().st_mode) == 0o700


async def test_a_server_is_out_of_reach_of_the_terminals_ctrl_c(place: Path, made: list[Server]) -> None:
    """Ctrl-C drains the node, which needs its servers until the end."""
    redis = RedisServer(place / "redis")
    made.append(redis)

    await redis.start()

    assert os.getsid(redis.pid) != os.getsid(0)


async def test_a_server_that_refuses_to_start_says_why_and_leaves_nothing(place: Path) -> None:
    """The error contains the end of the log."""
    postgres = PostgresServer(place / "postgres", settings={**UNWRITTEN, "shared_buffers": "plenty"})

    with pytest.raises(ServerFailed, match=r'invalid value for parameter "shared_buffers"'):
        await postgres.start()

    assert processes_of(postgres) == []
    postgres._settings["shared_buffers"] = "16MB"
    await postgres.start()
    await postgres.stop()


async def test_a_server_that_never_answers_is_given_up_and_ended(place: Path) -> None:
    """A start has a deadline."""
    mute = place / "redis-server"
    mute.write_text("#!/bin/sh\necho I am mute\nexec sleep 60\n")
    mute.chmod(0o755)
    redis = RedisServer(place / "redis", executable=mute)

    with pytest.raises(ServerFailed, match=r"did not answer within 3 s\nI am mute"):
        await redis.start(within=3)

    assert not redis.running


async def test_a_fixed_port_that_is_taken_is_an_error(place: Path, made: list[Server]) -> None:
    """Another port would not help, because this one was requested."""
    other = RedisServer(place / "other")
    made.append(other)
    await other.start()

    with pytest.raises(PortTaken):
        await RedisServer(place / "redis", port=other.port).start()


async def test_a_kept_port_that_was_taken_meanwhile_is_replaced(place: Path, made: list[Server]) -> None:
    """Another process may use the port of the last run."""
    redis = RedisServer(place / "redis")
    await redis.start()
    await redis.stop()
    other = RedisServer(place / "other", port=redis.port)
    made.append(other)
    await other.start()

    again = RedisServer(place / "redis")
    made.append(again)
    await again.start()

    assert again.port != redis.port


async def test_a_port_lost_between_look_and_launch_is_replaced(
    place: Path, made: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free port is not reserved."""
    other = RedisServer(place / "other")
    made.append(other)
    await other.start()
    offered = iter([other.port, free_port()])
    answers = iter([True])
    monkeypatch.setattr(server_module, "free_port", lambda: next(offered))
    monkeypatch.setattr(server_module, "is_free", lambda port: next(answers, None) or is_free(port))

    redis = RedisServer(place / "redis")
    made.append(redis)
    await redis.start()

    assert redis.port != other.port
    assert "Address already in use" in (place / "redis" / "log").read_text()


async def test_inner_ports_lost_between_look_and_launch_are_replaced(
    place: Path, made: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ listens on three ports, and clients know one of them."""
    other = RedisServer(place / "other")
    made.append(other)
    await other.start()
    # Each launch takes one for the port mapper and one for the broker. The first loses the one, the second the other.
    offered = iter([other.port, free_port(), free_port(), other.port, free_port(), free_port()])
    monkeypatch.setattr(rabbitmq_module, "free_port", lambda: next(offered))
    broker = RabbitMQServer(place / "rabbitmq", port=free_port())
    made.append(broker)

    await broker.start()

    assert next(offered, None) is None
