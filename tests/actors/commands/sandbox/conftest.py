"""A directory for servers that a test makes itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.embedded.processes import kill, strays
from service.embedded.server import Server


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the account of the servers can reach, unlike those of pytest."""
    path = Path(tempfile.mkdtemp(prefix="heyday-embedded-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def made(place: Path) -> AsyncIterator[list[Server]]:
    """Servers that a test has made and put here are stopped after it."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        await server.kill()
        await server.stop()
        # Also what a failed test has left of a server that was never started here.
        await kill(strays(place, server.programs))
