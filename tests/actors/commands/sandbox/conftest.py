"""Fixtures for tests that start their own servers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.commands.sandbox.servers.processes import kill, strays
from actors.commands.sandbox.servers.server import Server
from tests.servers import data_directory


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the account of the servers can reach, unlike those of pytest."""
    path = data_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def made(place: Path) -> AsyncIterator[list[Server]]:
    """A list for the servers of a test. They are stopped after it."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        await server.kill()
        await server.stop()
        # A failed test may have left processes of a server that was not started here.
        await kill(strays(place, server.programs))
