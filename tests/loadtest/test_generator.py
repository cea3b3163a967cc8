"""Tests of the load generators: they count answers, refusals and missing answers, and have a help text."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.commands.sandbox.servers.ports import free_port
from loadtest.generator import Load, generator, put
from tests.docs.commands import help_of_module


class Heard:
    """The requests that a server received."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.keys: list[str] = []
        self.paths: set[str] = set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def url(heard: Heard) -> AsyncIterator[str]:
    """A server that records its requests and refuses those for /refused."""

    async def answer(request: web.Request) -> web.Response:
        heard.paths.add(request.path)
        if request.method == "POST":
            heard.addresses.append((await request.json())["email"])
            heard.keys.append(request.headers.get("Idempotency-Key", ""))
        return web.json_response({}, status=409 if request.path == "/refused" else 200)

    app = web.Application()
    app.router.add_route("*", "/{path}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def _without_wrk(_name: str) -> None:
    return None


GENERATORS = [_without_wrk, *([shutil.which] if shutil.which("wrk") else [])]


@pytest.fixture(params=GENERATORS, ids=["client", "wrk"][: len(GENERATORS)])
def _generator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    which: Callable[[str], str | None] = request.param
    monkeypatch.setattr("loadtest.generator.shutil.which", which)


@pytest.mark.usefixtures("_generator")
async def test_a_load_is_counted_and_no_two_requests_are_alike(url: str, heard: Heard, tmp_path: Path) -> None:
    """A repeated address would measure refusals."""
    answered = await put(Load("POST", ("/a", "/b"), keyed=True), url, tmp_path, connections=5, seconds=2)

    assert answered.errors == 0
    assert 0 < answered.requests <= len(heard.addresses) == len(set(heard.addresses))
    assert len(set(heard.keys)) == len(heard.keys)
    assert heard.paths == {"/a", "/b"}
    assert 0 < answered.p50 <= answered.p95 <= answered.p99 < 60
    assert generator()


async def test_a_server_that_answers_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback of a percentile of nothing would hide the reason. wrk itself refuses a closed port."""
    monkeypatch.setattr("loadtest.generator.shutil.which", _without_wrk)

    with pytest.raises(RuntimeError, match="nothing was answered within 1 s"):
        await put(Load("GET", ("/a",)), f"http://127.0.0.1:{free_port()}", tmp_path, connections=2, seconds=1)


@pytest.mark.usefixtures("_generator")
async def test_what_is_refused_is_an_error(url: str, tmp_path: Path) -> None:
    """A rate of refusals is not a result."""
    answered = await put(Load("GET", ("/refused",)), url, tmp_path, connections=5, seconds=2)

    assert answered.errors >= answered.requests > 0


@pytest.mark.parametrize(
    "module", ["api", "backlog", "bare_api", "client", "growth", "guard", "imports", "planning", "wave"]
)
def test_each_tool_says_what_it_does(module: str) -> None:
    """The tool itself must explain how to measure."""
    assert f"python -m loadtest.{module}" in help_of_module(f"loadtest.{module}")
