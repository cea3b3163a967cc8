"""`heyday health`: what container engines ask a node with."""

from __future__ import annotations

import asyncio

import pytest

from actors.cli import FAILED, OK, main
from actors.commands.health import url_of
from service.email_stub import StubOptions, serve


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/health/live"),
        ("0.0.0.0", "http://127.0.0.1:8080/health/live"),  # noqa: S104  # asked, not bound
        ("::", "http://[::1]:8080/health/live"),
        ("10.1.2.3", "http://10.1.2.3:8080/health/live"),
        ("node", "http://node:8080/health/live"),
    ],
)
def test_a_node_is_asked_where_it_listens(host: str, url: str) -> None:
    """Everywhere is no address that can be asked."""
    assert url_of(host, 8080, path="/health/live") == url


async def test_whoever_answers_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine goes by the exit code."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    try:
        code = await asyncio.to_thread(main, ["health", "--url", f"{stub.url}/stats"])
        refused = await asyncio.to_thread(main, ["health", "--url", f"{stub.url}/nothing"])
    finally:
        await stub.close()

    assert (code, refused) == (OK, FAILED)
    said = capsys.readouterr()
    assert said.out.endswith(": 200\n")
    assert ": 404" in said.err


def test_nobody_who_answers_is_ill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of these in a row and the engine replaces the container."""
    monkeypatch.setenv("HEYDAY_BIND", "127.0.0.1:9")

    code = main(["health"])

    assert code == FAILED
    assert "http://127.0.0.1:9/health/live" in capsys.readouterr().err
