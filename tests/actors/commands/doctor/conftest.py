"""A doctor among real servers, as a person at a command line has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.cli import main
from service.email_stub import EmailStub, StubOptions, serve
from tests.adapters.postgres.conftest import store as store
from tests.embedded.conftest import made as made
from tests.embedded.conftest import place as place

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
    """Runs `heyday doctor` among PostgreSQL, Redis and a fake email service: exit code and output."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", database)
    monkeypatch.setenv("HEYDAY_REDIS_URL", redis_url)
    monkeypatch.setenv("HEYDAY_EMAIL_URL", stub.url)

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["doctor", *words])
        return code, capsys.readouterr().out

    return run
