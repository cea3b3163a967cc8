"""Redis servers that heyday cannot use, or that deny some commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.adapters.redis import connection
from service.adapters.redis.checkup import RedisCheckup
from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.request_rate import RedisRequestRate
from service.adapters.redis.streams import RedisWorkStream
from service.ports import Unavailable, Unsupported
from tests.service.adapters.redis.processes import PASSWORD, Member, running, until

NODE = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "cluster-enabled yes", "cluster-node-timeout 2000")


@pytest.fixture
async def managed(clients: RedisClients, url: str) -> AsyncIterator[RedisClients]:
    """Clients of a user as managed services give it: without INFO and without administrative commands."""
    rules = ("reset", "on", ">sesame", "~*", "&*", "+@all", "-@dangerous", "-@admin")
    await clients.commands.execute_command("ACL", "SETUSER", "heyday", *rules)  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    managed = connect(f"redis://heyday:sesame@{parts.hostname}:{parts.port}/0")
    yield managed
    await managed.close()
    await clients.commands.execute_command("ACL", "DELUSER", "heyday")  # type: ignore[no-untyped-call]


async def test_a_user_without_info_can_do_all_that_a_node_does(managed: RedisClients) -> None:
    """Managed services deny INFO, and nodes do not need it."""
    work = RedisWorkStream(managed.commands, managed.blocking, "heyday:due", consumer="a")
    await managed.refuse_cluster()
    await work.open()
    await work.append(["x"])
    await work.finish(await work.read(count=1, block=0.1))
    assert (await work.requeue_abandoned(living=[], idle=1)).entries == 0
    assert (await work.state()).length == 0
    assert await RedisLocks(managed.commands, owner="a").acquire("ticker", ttl=1) == 1
    assert len(await RedisRateLimit(managed.commands, 10.0, nodes=lambda: 1).reserve(2)) == 2
    assert (await RedisRequestRate(managed.commands, 10.0).take("ann")).remaining == 9


async def test_a_checkup_without_info_says_that_it_was_denied(managed: RedisClients) -> None:
    """A traceback would not help the operator."""
    checkup = RedisCheckup(managed.commands)

    assert await checkup.info() is None
    assert (await checkup.streams(["heyday:due"]))["heyday:due"] is None


async def test_a_command_that_is_denied_is_an_outage_with_its_reason(clients: RedisClients, url: str) -> None:
    """An administrator can allow it. A restart of the actor cannot."""
    rules = ("reset", "on", ">sesame", "~*", "+@all", "-xadd")
    await clients.commands.execute_command("ACL", "SETUSER", "reader", *rules)  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    reader = connect(f"redis://reader:sesame@{parts.hostname}:{parts.port}/0")

    with pytest.raises(Unavailable, match="xadd"):
        await RedisWorkStream(reader.commands, reader.blocking, "heyday:due", consumer="a").append(["x"])

    await reader.close()


async def test_a_user_who_may_not_ask_about_clusters_is_served(clients: RedisClients, url: str) -> None:
    """Managed services may deny all of CLUSTER, and nodes do not need it."""
    rules = ("reset", "on", ">sesame", "~*", "+@all", "-cluster")
    await clients.commands.execute_command("ACL", "SETUSER", "tenant", *rules)  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    tenant = connect(f"redis://tenant:sesame@{parts.hostname}:{parts.port}/0")

    await tenant.refuse_cluster()

    await tenant.close()
    await clients.commands.execute_command("ACL", "DELUSER", "tenant")  # type: ignore[no-untyped-call]


async def test_a_redis_cluster_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Its redirects would crash actors at the first key of another node."""
    one, other = Member(tmp_path / "one", *NODE), Member(tmp_path / "other", *NODE)
    async with running(one, other):
        await one.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)  # type: ignore[no-untyped-call]
        await other.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)  # type: ignore[no-untyped-call]
        await one.client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)  # type: ignore[no-untyped-call]
        for member in (one, other):
            await until("cluster_state:ok", member, "CLUSTER", "INFO")
        clients = connect(f"redis://:{PASSWORD}@127.0.0.1:{one.port}/0")

        with pytest.raises(Unsupported, match="this is a Redis Cluster"):
            await clients.refuse_cluster()
        # A server that becomes one while nodes run.
        streams = [  # of different slots
            RedisWorkStream(clients.commands, clients.blocking, name, consumer="a")
            for name in ("heyday:plan", "heyday:due", "heyday:delivery", "heyday:dead")
        ]
        replies = await asyncio.gather(*(stream.append(["x"]) for stream in streams), return_exceptions=True)
        assert {str(reply) for reply in replies if reply is not None} == {
            f"redis is unavailable: {connection.CLUSTER_REFUSED}"
        }
        await clients.close()


async def test_a_server_without_cluster_support_is_taken(clients: RedisClients) -> None:
    """Redis and Valkey report it in the same words."""
    await clients.refuse_cluster()


async def test_clients_use_another_url_from_now_on(redis_url: str, valkey_url: str) -> None:
    """A secret file was changed: a new password, or another server."""
    clients = connect(redis_url)
    work = RedisWorkStream(clients.commands, clients.blocking, "heyday:due", consumer="a")
    await work.open()
    locks = RedisLocks(clients.commands, owner="a")
    assert await locks.acquire("ticker", ttl=30) == 1
    fresh = connect(valkey_url)
    await fresh.commands.flushall()

    await clients.use(valkey_url)

    assert await locks.acquire("ticker", ttl=30) == 1
    await work.open()
    await work.append(["x"])
    assert len(await work.read(count=1, block=0.1)) == 1
    assert await fresh.commands.xlen("heyday:due") == 1
    for one in (clients, fresh):
        await one.close()
