"""The servers of a staging cluster, as the settings of a node may name them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from actors.commands.chaos.servers import Servers
from service.ports import Unavailable

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
