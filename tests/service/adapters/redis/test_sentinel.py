"""Redis by Sentinel: clients find the primary by its service name, and find it again after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.adapters.redis import sentinel
from service.adapters.redis.connection import RedisClients, connect, translating
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.streams import RedisWorkStream
from service.ports import Emptied, Unavailable
from tests.service.adapters.redis.processes import Group, running, until
from tests.stopwatch import Stopwatch


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    """The group, running."""
    group = Group(tmp_path)
    async with running(group.primary, group.replica, *group.sentinels):
        await group.settled()
        yield group


@pytest.fixture
async def clients(group: Group) -> AsyncIterator[RedisClients]:
    clients = connect(group.url)
    yield clients
    await clients.close()


async def test_the_primary_is_found_by_the_name_of_its_service(group: Group, clients: RedisClients) -> None:
    """It is found while the first sentinel is down, too."""
    group.sentinels[0].kill()

    assert await RedisLocks(clients.commands, owner="a").acquire("ticker", ttl=30) == 1

    assert await group.primary.client.get("heyday:lock:{ticker}") == "1:a"


async def test_work_goes_on_after_a_failover(group: Group, clients: RedisClients) -> None:
    """Nothing is restarted, and the data that the replica had received is there."""
    work = RedisWorkStream(clients.commands, clients.blocking, "heyday:due", consumer="a")
    await work.open()
    await work.append(["before"])
    assert await group.primary.client.wait(1, 5000) == 1
    reading = asyncio.ensure_future(work.read(count=2, block=30))
    assert [entry.body for entry in await reading] == ["before"]
    blocked = asyncio.ensure_future(work.read(count=1, block=30))
    watch = Stopwatch()

    group.primary.kill()

    with pytest.raises(Unavailable):
        await blocked
    async with asyncio.timeout(120):
        while True:
            with suppress(Unavailable, Emptied):
                await work.append(["after"])
                break
            await asyncio.sleep(0.1)
    assert watch.seconds() < 15
    assert [entry.body for entry in await work.read(count=1, block=5)] == ["after"]
    assert (await group.replica.client.role())[0] == "master"


async def test_a_primary_that_was_demoted_is_left(group: Group, clients: RedisClients) -> None:
    """After a manual failover the old primary runs on as a replica that refuses writes."""
    work = RedisWorkStream(clients.commands, clients.blocking, "heyday:due", consumer="a")
    await work.open()
    await asyncio.gather(*(work.append([str(number)]) for number in range(8)))

    await group.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", "greetings")  # type: ignore[no-untyped-call]
    await until("role:slave", group.primary, "INFO", "replication")

    async with asyncio.timeout(120):
        while True:
            with suppress(Unavailable, Emptied):
                await work.append(["after"])
                break
            await asyncio.sleep(0.1)
    assert await group.replica.client.xrevrange("heyday:due", count=1)


async def test_an_unknown_service_is_an_outage_that_names_it(group: Group) -> None:
    """A typing error in the URL must not look like a bug."""
    clients = connect(group.url.replace("greetings", "parcels"))

    with pytest.raises(Unavailable, match="parcels"):
        async with translating():
            await clients.commands.ping()

    await clients.close()


async def test_sentinels_that_are_all_away_are_an_outage() -> None:
    """The error comes within the deadline of a command."""
    clients = connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/greetings")

    with pytest.raises(Unavailable):
        async with translating():
            await clients.commands.ping()

    await clients.close()


def test_a_url_may_name_databases_passwords_and_certificates() -> None:
    """Sentinels have their own password. TLS settings apply to both."""
    parsed = sentinel.parse(
        "rediss+sentinel://ann:secret@one:1,two/greetings/3?sentinel_password=other&ssl_ca_certs=/ca.pem"
    )

    assert parsed.sentinels == [("one", 1), ("two", 26379)]
    assert parsed.service == "greetings"
    assert parsed.server_options == {
        "username": "ann", "password": "secret", "db": 3, "ssl": True, "ssl_ca_certs": "/ca.pem",
    }  # fmt: skip
    assert parsed.sentinel_options == {"password": "other", "ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert "secret" not in repr(parsed)
