"""The servers of a staging cluster, as the settings of a node may name them."""

from __future__ import annotations

from unittest.mock import AsyncMock
from urllib.parse import urlsplit

import aio_pika
import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from actors.commands.chaos.servers import Servers
from service.ports import Unavailable
from service.ports.names import RABBITMQ_QUEUE, REDIS_QUEUE

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize("url", [f"redis://{NOWHERE}", f"redis+sentinel://{NOWHERE}/main/0"])
async def test_a_redis_that_does_not_answer_is_unavailable(url: str) -> None:
    """The rehearsal ends with a sentence, also behind sentinels."""
    with pytest.raises(Unavailable, match="redis is unavailable"):
        await Servers("", url, None).count_keys()


async def test_a_redis_that_refuses_the_password_is_named(redis_url: str) -> None:
    """The sentence says which setting to correct."""
    wrong = redis_url.replace("://", "://:wrong@") if "@" not in redis_url else redis_url.replace("@", "x@")

    with pytest.raises(Unavailable, match=r"HEYDAY_REDIS_URL|AUTH"):
        await Servers("", wrong, None).count_keys()


async def test_a_rabbitmq_of_which_one_host_answers_is_used(rabbitmq_url: str) -> None:
    """Nodes accept several hosts."""
    parts = urlsplit(rabbitmq_url)
    credentials, _, host = parts.netloc.rpartition("@")
    several = parts._replace(netloc=f"{credentials}@{NOWHERE},{host}").geturl()

    assert await Servers("", "", several).queue_state() == (0, 0)
    with pytest.raises(Unavailable, match="rabbitmq is unavailable"):
        await Servers("", "", f"amqp://{NOWHERE}").queue_state()


async def test_a_queue_that_is_away_is_unavailable(rabbitmq_url: str) -> None:
    """A fault before this one may have deleted it. A rehearsal tries again."""
    with pytest.raises(Unavailable, match="rabbitmq is unavailable"):
        await Servers("", "", rabbitmq_url).purge_queue()
    with pytest.raises(Unavailable, match="rabbitmq is unavailable"):
        async with Servers("", "", rabbitmq_url).stranger_at_the_queue():
            pass


async def test_the_writes_that_a_full_redis_refuses_are_counted(redis_url: str) -> None:
    """Otherwise a Redis that is not full would count as full."""
    async with Redis.from_url(redis_url) as client, Servers("", redis_url, None).redis_full() as refused:
        await client.get("key")
        before = await refused()
        with pytest.raises(OutOfMemoryError):
            await client.set("key", "value")

        assert (before, await refused()) == (0, 1)


async def test_the_consumers_of_a_redis_stream_are_counted(redis_url: str) -> None:
    """A stream may be away, or without a group."""
    servers = Servers("", redis_url, None)
    async with Redis.from_url(redis_url) as client:
        found = [await servers.consumers()]
        await client.xgroup_create(REDIS_QUEUE.delivery, "group", mkstream=True)
        found.append(await servers.consumers())
        await client.xgroup_createconsumer(REDIS_QUEUE.delivery, "group", "node")
        found.append(await servers.consumers())

    assert found == [0, 0, 1]


async def test_the_consumers_of_a_queue_in_rabbitmq_are_counted(rabbitmq_url: str) -> None:
    """A queue may be away, or without a consumer."""
    servers = Servers("", "", rabbitmq_url)
    found = [await servers.consumers()]
    async with await aio_pika.connect(rabbitmq_url) as connection:
        queue = await (await connection.channel()).declare_queue(RABBITMQ_QUEUE.delivery, durable=True)
        found.append(await servers.consumers())
        await queue.consume(AsyncMock())
        found.append(await servers.consumers())
        await queue.delete(if_unused=False)

    assert found == [0, 0, 1]
