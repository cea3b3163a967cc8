"""`heyday doctor` with real servers, called as on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.cli import main
from actors.commands.sandbox.email_stub import EmailStub, StubOptions, serve
from tests.actors.commands.sandbox.conftest import made as made
from tests.actors.commands.sandbox.conftest import place as place
from tests.service.adapters.postgres.conftest import store as store

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def stub() -> AsyncIterator[EmailStub]:
    """A fake email service."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    yield stub
    await stub.close()


@pytest.fixture
def doctor(
    database: str,
    redis_url: str,
    stub: EmailStub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs `heyday doctor` with PostgreSQL, Redis and a fake email service. Returns exit code and all output."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", database)
    monkeypatch.setenv("HEYDAY_REDIS_URL", redis_url)
    monkeypatch.setenv("HEYDAY_EMAIL_URL", stub.url)

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["doctor", *words])
        written = capsys.readouterr()
        return code, written.out + written.err

    return run
