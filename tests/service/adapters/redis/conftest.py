"""Clients for both servers that heyday supports, an installed Redis and the Valkey of the wheel, and their fake."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from actors.commands.sandbox.servers.redis import RedisServer
from service.adapters.redis import accepted, cluster, rate, request_rate, snapshots
from service.adapters.redis.connection import RedisClients, connect
from tests.servers import data_directory
from tests.service.adapters.redis.stores import MemoryStore, ServerStore, Store

PATIENCE = 20.0
"""Seconds for a call of a server that answers, on a busy machine, too."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give calls time. After its usual deadline, a part of a second, a node goes on without Redis."""
    monkeypatch.setattr(rate, "RESERVE_TIMEOUT", PATIENCE)
    monkeypatch.setattr(rate, "VERSION_KEPT", PATIENCE)
    for module in (accepted, cluster, request_rate, snapshots):
        monkeypatch.setattr(module, "CALL_TIMEOUT", PATIENCE)


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of the embedded Valkey."""
    directory = data_directory()
    server = RedisServer(directory / "server", append_only=False)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(server.start())
        yield server.url
        runner.run(server.kill())
    shutil.rmtree(directory)


@pytest.fixture(params=["redis", "valkey"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of each server in turn."""
    name: str = request.getfixturevalue(f"{request.param}_url")
    return name


@pytest.fixture
async def clients(url: str) -> AsyncIterator[RedisClients]:
    """Clients of an empty server."""
    clients = connect(url)
    await clients.commands.flushall()
    yield clients
    await clients.close()


@pytest.fixture(params=["memory", "redis", "valkey"])
def kept_at(request: pytest.FixtureRequest) -> str | None:
    """The URL of each server in turn; None: in memory."""
    return None if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def store(kept_at: str | None) -> AsyncIterator[Store]:
    """The shared state of nodes, empty."""
    if kept_at is None:
        yield MemoryStore()
        return
    clients = connect(kept_at)
    await clients.commands.flushall()
    yield ServerStore(clients)
    await clients.close()
