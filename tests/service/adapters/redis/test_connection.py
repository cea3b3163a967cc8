"""Outages of Redis are told from bugs, and no call exceeds its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.exceptions import ResponseError

from actors.commands.sandbox.servers.relay import Relay, relayed
from service.adapters.redis import connection
from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.connection import RedisClients, connect, translating
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.streams import RedisWorkStream
from service.ports import Emptied, Entry, Unavailable
from tests.servers import Servers

Call = Callable[[RedisClients], Awaitable[object]]


def stream(clients: RedisClients) -> RedisWorkStream:
    return RedisWorkStream(clients.commands, clients.blocking, "heyday:due", consumer="a")


CALLS: dict[str, Call] = {
    "open": lambda clients: stream(clients).open(),
    "append": lambda clients: stream(clients).append(["x"]),
    "read": lambda clients: stream(clients).read(count=1, block=0),
    "blocking read": lambda clients: stream(clients).read(count=1, block=0.1),
    "unfinished": lambda clients: stream(clients).unfinished(count=1),
    "finish": lambda clients: stream(clients).finish([Entry("1-1", "x")]),
    "requeue_abandoned": lambda clients: stream(clients).requeue_abandoned(living=set(), idle=1),
    "state": lambda clients: stream(clients).state(),
    "acquire": lambda clients: RedisLocks(clients.commands, owner="a").acquire("ticker", ttl=1),
    "renew": lambda clients: RedisLocks(clients.commands, owner="a").renew("ticker", 1, ttl=1),
    "release": lambda clients: RedisLocks(clients.commands, owner="a").release("ticker", 1),
    "accepted": lambda clients: keys(clients).accepted([uuid4()]),
    "remember": lambda clients: keys(clients).remember([uuid4()]),
}


def keys(clients: RedisClients) -> RedisAcceptedKeys:
    return RedisAcceptedKeys(clients.commands, late_limit=timedelta(hours=48))


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[Relay]:
    """A relay to Redis that can be frozen."""
    async with relayed(redis_url) as relay:
        yield relay


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_reports_a_refused_connection(call: str) -> None:
    """A refused connection is an outage for every call."""
    clients = connect("redis://127.0.0.1:1")

    with pytest.raises(Unavailable, match="redis is unavailable"):
        await CALLS[call](clients)

    await clients.close()


async def test_every_call_returns_while_redis_is_silent(relay: Relay) -> None:
    """A stopped process keeps its connections open, so only heyday's own deadlines end the wait."""
    clients = connect(relay.url)
    await stream(clients).open()
    await asyncio.gather(*(clients.commands.ping() for _ in CALLS))
    relay.freeze()

    async with asyncio.timeout(connection.COMMAND_TIMEOUT + 3):
        results = await asyncio.gather(*(call(clients) for call in CALLS.values()), return_exceptions=True)

    assert {call: type(result) for call, result in zip(CALLS, results, strict=True)} == dict.fromkeys(
        CALLS, Unavailable
    )
    relay.thaw()
    await stream(clients).state()
    await clients.close()


async def test_clients_work_again_after_redis_was_killed(redis_url: str, servers: Servers) -> None:
    """Nothing has to be restarted."""
    clients = connect(redis_url)
    work = stream(clients)
    await work.open()
    reading = asyncio.ensure_future(work.read(count=1, block=30))
    while not (await clients.commands.info("clients"))["blocked_clients"]:
        pass

    await servers.redis.kill()

    with pytest.raises(Unavailable):
        await reading
    with pytest.raises(Unavailable):
        await work.append(["x"])
    await servers.redis.start()
    await work.append(["y"])
    with suppress(Emptied):  # it depends on the server's settings whether it kept anything
        await work.unfinished(count=1)
    # Whether the other one arrived before the end is not known, which is what Unavailable says.
    assert [entry.body for entry in await work.read(count=2, block=1)][-1] == "y"
    await clients.close()


async def test_scripts_survive_that_the_server_forgets_them(clients: RedisClients) -> None:
    """SCRIPT FLUSH and a failover both remove them."""
    locks = RedisLocks(clients.commands, owner="a")
    await locks.acquire("ticker", ttl=30)
    await clients.commands.script_flush()

    assert await locks.acquire("daily", ttl=30) == 1


async def test_a_script_that_misses_a_group_has_found_an_emptied_redis() -> None:
    """Before Redis 7, the server puts words of its own before the error of a command in a script."""
    reply = "Error running script (call to f_0a29): @user_script:42: NOGROUP No such key 'heyday:due'"

    with pytest.raises(Emptied):
        async with translating():
            raise ResponseError(reply)


async def test_a_full_redis_is_an_outage(clients: RedisClients) -> None:
    """An operator can make room. A restart of an actor cannot."""
    await clients.commands.config_set("maxmemory", 1)
    try:
        with pytest.raises(Unavailable, match="maxmemory"):
            await stream(clients).append(["x"])
    finally:
        await clients.commands.config_set("maxmemory", 0)


async def outages(clients: RedisClients) -> set[str]:
    """The names of the calls that end as an outage. Raises any other error of a call."""
    refused = set()
    for name, call in CALLS.items():
        try:
            await call(clients)
        except Unavailable:
            refused.add(name)
    return refused


async def test_a_redis_that_takes_no_writes_for_now_is_an_outage_to_every_call(clients: RedisClients) -> None:
    """It lacks replicas, or its disk is full. A pipeline quotes the server's words after words of its own."""
    await stream(clients).open()
    await stream(clients).append(["x"])
    await clients.commands.config_set("min-replicas-to-write", 1)
    try:
        refused = await outages(clients)
    finally:
        await clients.commands.config_set("min-replicas-to-write", 0)

    assert {"append", "acquire", "remember"} <= refused


async def test_every_call_to_a_full_redis_is_answered_or_an_outage(clients: RedisClients) -> None:
    """A script or a pipeline reports it in another form. Taken for a bug, it would restart actors in vain."""
    await stream(clients).open()
    await stream(clients).append(["x"])
    rate = RedisRateLimit(clients.commands, 100.0, nodes=lambda: 1)
    await clients.commands.config_set("maxmemory", 1)
    try:
        refused = await outages(clients)
        waits = await rate.reserve(2)
    finally:
        await clients.commands.config_set("maxmemory", 0)

    assert {"append", "acquire", "remember"} <= refused
    assert len(waits) == 2
    await stream(clients).append(["y"])


async def test_a_read_only_replica_is_an_outage(clients: RedisClients) -> None:
    """After a failover the old primary is read-only until the address changes."""
    await clients.commands.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="read only"):
            await stream(clients).append(["x"])
    finally:
        await clients.commands.replicaof("NO", "ONE")


async def test_a_connection_to_a_server_that_became_a_replica_is_given_up(clients: RedisClients) -> None:
    """The server keeps it. A node that kept it, too, would never come to the primary to which the address leads now."""
    locks = RedisLocks(clients.commands, owner="node")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: stream(clients).append(["x"]),
        lambda: locks.acquire("ticker", ttl=1.0),
    ]
    for call in calls:
        before = await clients.commands.client_id()
        await clients.commands.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(Unavailable):
                await call()
            assert await clients.commands.client_id() != before
        finally:
            await clients.commands.replicaof("NO", "ONE")
        await call()


async def test_a_wrong_password_is_an_outage_with_its_reason(redis_url: str) -> None:
    """An operator must see the reason, and the node must not restart in a loop."""
    clients = connect(redis_url.replace("redis://:", "redis://:wrong"))

    with pytest.raises(Unavailable, match=r"(?i)password|auth"):
        await clients_ping(clients)

    await clients.close()


async def test_a_bug_is_not_taken_for_an_outage(clients: RedisClients) -> None:
    """Otherwise a node would wait for ever because of a key of the wrong type."""
    await clients.commands.set("heyday:due", "not a stream")

    with pytest.raises(Exception, match="WRONGTYPE") as caught:
        await stream(clients).append(["x"])

    assert not isinstance(caught.value, Unavailable)


async def test_a_connection_that_is_closed_under_a_write_is_an_outage() -> None:
    """uvloop raises its own error for it. Every other error of that class is a bug."""
    with pytest.raises(Unavailable):
        async with translating():
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    with pytest.raises(RuntimeError):
        async with translating():
            raise RuntimeError("dictionary changed size during iteration")


async def test_a_cancelled_read_is_cancelled(clients: RedisClients) -> None:
    """Stopping an actor must not look like an outage."""
    await stream(clients).open()
    reading = asyncio.ensure_future(stream(clients).read(count=1, block=30))
    while not (await clients.commands.info("clients"))["blocked_clients"]:
        pass

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


async def clients_ping(clients: RedisClients) -> None:
    async with translating():
        await clients.commands.ping()
