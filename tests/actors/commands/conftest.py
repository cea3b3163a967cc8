"""Fixtures for commands: the PostgreSQL adapters, and a command line with the database of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.cli import main
from tests.service.adapters.postgres.conftest import store as store

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def heyday(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `heyday` with the database of the test. Returns exit code, output and errors."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", database)

    async def run(*words: str) -> tuple[int, str, str]:
        try:
            code = await asyncio.to_thread(main, list(words))
        except SystemExit as refused:  # by argparse
            code = int(str(refused.code))
        return code, *capsys.readouterr()

    return run
