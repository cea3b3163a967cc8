"""The resources of a node on real servers."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock
from uuid import UUID

import asyncpg
import pytest

from actors.wiring import production_resources
from service.environment import Secret
from service.ports import Greeting
from service.settings import read
from service.telemetry.metrics import Metrics
from tests.fakes.mail_server import MailServer
from tests.stopwatch import Stopwatch

CONNECTIONS = 4


async def test_a_heartbeat_does_not_wait_for_a_connection(database: str, redis_url: str) -> None:
    """A node whose connections all run slow statements is alive, and others must not end it."""
    settings = read(
        {
            "HEYDAY_DATABASE_URL": database,
            "HEYDAY_REDIS_URL": redis_url,
            "HEYDAY_EMAIL_URL": "http://127.0.0.1:9",
            "HEYDAY_DATABASE_CONNECTIONS": str(CONNECTIONS),
        }
    )
    resources = production_resources(settings, Metrics(), lambda: 1)
    await resources.open()
    blocker = await asyncpg.connect(database)
    try:
        # A statement has five seconds; opening connections is not to be a part of them.
        await asyncio.gather(*(resources.messages.read_clock() for _ in range(CONNECTIONS)))
        incarnation = await resources.nodes.enter("node")
        async with blocker.transaction():
            await blocker.execute("lock table messages in access exclusive mode")
            slow = [asyncio.ensure_future(resources.messages.read_clock()) for _ in range(2 * CONNECTIONS)]
            while resources.pool().active < CONNECTIONS:  # noqa: ASYNC110 - the pool has no event for it
                await asyncio.sleep(0.01)

            watch = Stopwatch()
            await resources.recognise()
            taken = await resources.nodes.beat(incarnation)
            took = watch.seconds()
            still_slow = sum(not one.done() for one in slow)
        await asyncio.gather(*slow)
    finally:
        await blocker.close()
        await resources.close()

    assert (taken, still_slow) == (True, len(slow))
    assert took < 3  # one that waits for a connection waits until the table is free, which is after this


async def test_a_queue_that_cannot_be_closed_leaves_no_connection_open(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that ends closes its connections to PostgreSQL and Redis, too."""
    settings = read(
        {"HEYDAY_DATABASE_URL": database, "HEYDAY_REDIS_URL": redis_url, "HEYDAY_EMAIL_URL": "http://127.0.0.1:9"}
    )
    resources = production_resources(settings, Metrics(), lambda: 1)
    await resources.open()
    await resources.messages.read_clock()
    monkeypatch.setattr(resources.queue, "close", Mock(side_effect=ConnectionError("it hangs")))
    before = resources.pool().idle

    with pytest.raises(ConnectionError, match="it hangs"):
        await resources.close()

    assert (before > 0, resources.pool().idle) == (True, 0)


@pytest.mark.parametrize("service", ["EMAIL", "EMAIL_FALLBACK"])
async def test_a_changed_html_document_is_sent_without_a_restart(database: str, redis_url: str, service: str) -> None:
    """A mistake in the design must not wait for a deployment."""
    server = MailServer()
    await server.listen()
    settings = read(
        {
            "HEYDAY_DATABASE_URL": database,
            "HEYDAY_REDIS_URL": redis_url,
            "HEYDAY_EMAIL_URL": "http://127.0.0.1:9",
            "HEYDAY_EMAIL_FROM": "greetings@example.com",
            "HEYDAY_EMAIL_HTML": "<p>{text}</p>",
            f"HEYDAY_{service}_URL": f"smtp://127.0.0.1:{server.port}?starttls=off",
        }
    )
    resources = production_resources(settings, Metrics(), lambda: 1)
    await resources.open()
    try:
        await resources.replacements["EMAIL_HTML"](Secret("<h1>{text}</h1>"))
        email = resources.fallback[0] if resources.fallback else resources.attempts
        await email.attempt(Greeting(UUID(int=1), "mary@example.com", "Hey", subject="Happy"))
    finally:
        await resources.close()
        await server.close()

    [document] = [part for part in server.accepted[0].walk() if part.get_content_type() == "text/html"]
    assert document.get_content().strip() == "<h1>Hey</h1>"
