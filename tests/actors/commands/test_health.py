"""`heyday health`, which container engines run as a health check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.cli import main
from actors.commands.exit_codes import FAILED, OK
from actors.commands.health import url_of
from actors.commands.sandbox.email_stub import StubOptions, serve
from actors.commands.sandbox.servers.ports import free_port


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
def test_the_node_is_asked_at_its_own_address(host: str, url: str) -> None:
    """A wildcard address is replaced by loopback."""
    assert url_of(host, 8080, path="/health/live") == url


async def test_the_exit_code_is_0_after_a_2xx_answer_only(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine uses the exit code."""
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


async def test_the_answer_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Also when the node refuses or does not answer: a program reads one stream."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    urls = [f"{stub.url}/stats", f"{stub.url}/nothing", "http://127.0.0.1:9/health/live"]
    try:
        codes = [await asyncio.to_thread(main, ["health", "--json", "--url", url]) for url in urls]
    finally:
        await stub.close()

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert codes == [OK, FAILED, FAILED]
    assert [(one["url"], one["ok"], one["status"]) for one in said] == list(
        zip(urls, [True, False, False], [200, 404, None], strict=True)
    )
    assert said[0]["answer"]["accepted"] == 0
    assert said[2]["error"]


def test_no_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After three failures the engine replaces the container."""
    monkeypatch.setenv("HEYDAY_BIND", "127.0.0.1:9")

    code = main(["health"])

    assert code == FAILED
    assert "http://127.0.0.1:9/health/live" in capsys.readouterr().err


async def test_an_answer_that_is_not_http_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The port may belong to another program."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        code = await asyncio.to_thread(main, ["health", "--url", f"http://127.0.0.1:{port}/"])

    assert code == FAILED
    assert capsys.readouterr().err == f"http://127.0.0.1:{port}/: BadStatusLine: -ERR unknown command\n"


@pytest.mark.parametrize("answer", [b"\x1b[2J\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n\x1b[2J"])
@pytest.mark.parametrize("command", ["health", "call"])
async def test_control_characters_of_another_program_do_nothing_to_the_terminal(
    answer: bytes, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HEYDAY_BIND", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await asyncio.to_thread(main, [command] if command == "health" else [command, "/"])

    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\\x1b[2J" in said.out + said.err


@pytest.mark.parametrize("status", [b"200 OK", b"503 Service Unavailable"])
@pytest.mark.parametrize("command", [["health", "--url"], ["call"]])
async def test_an_answer_that_ends_in_the_middle_is_a_failure(
    status: bytes, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of an answer must not pass for the whole."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal" % status)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("HEYDAY_BIND", f"127.0.0.1:{port}")
        target = "/" if command == ["call"] else f"http://127.0.0.1:{port}/"
        code = await asyncio.to_thread(main, [*command, target])

    said = capsys.readouterr()
    assert (code, said.out) == (FAILED, "")
    assert said.err.startswith(f"http://127.0.0.1:{port}/: IncompleteRead")


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://127.0.0.1:http/", "http://127.0.0.1:99999/", "http://:8080/", "127.0.0.1:8080"]
)
def test_what_is_no_url_is_wrong_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says what was expected. Of a port above 65535, a socket would take the last 16 bits."""
    with pytest.raises(SystemExit) as ended:
        main(["health", "--url", url])

    assert ended.value.code == 2
    assert "expected an address such as http://127.0.0.1:8080/health/live" in capsys.readouterr().err


async def test_a_call_sends_method_key_and_json_and_writes_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It uses the strongest key of the settings, so none is copied into a shell. Text may have any letters."""
    seen: list[tuple[str, str | None, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.headers.get("Authorization"), await request.read()))
        return web.json_response({"path": request.path}, status=409 if request.path == "/refused" else 200)

    async with node(answer) as port:
        monkeypatch.setenv("HEYDAY_BIND", f"127.0.0.1:{port}")
        monkeypatch.setenv("HEYDAY_API_KEYS", f"reader:read:one,sha256:{'0' * 64},jobs:operate:two:thr€e")
        codes = [
            await asyncio.to_thread(main, ["call", *words])
            for words in (["/health/d €"], ["POST", "/api/v1/x"], ["/refused", "--data", '{"a": 1}', "--json"])
        ]

    assert codes == [OK, OK, FAILED]
    bearer = "Bearer two:thr€e"
    assert seen == [("GET", bearer, b""), ("POST", bearer, b""), ("POST", bearer, b'{"a": 1}')]
    said = capsys.readouterr()
    assert said.out == '{\n  "path": "/health/d €"\n}\n{\n  "path": "/api/v1/x"\n}\n{"path":"/refused"}\n'
    assert "/refused: 409" in said.err


async def test_a_call_writes_the_whole_of_a_large_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page of 500 messages may have more than a megabyte, and half of it is no JSON."""
    items = ["x" * 1000] * 3000

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"items": items})

    async with node(answer) as port:
        monkeypatch.setenv("HEYDAY_BIND", f"127.0.0.1:{port}")
        code = await asyncio.to_thread(main, ["call", "/api/v1/messages"])

    assert (code, json.loads(capsys.readouterr().out)) == (OK, {"items": items})


@asynccontextmanager
async def node(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[int]:
    """The port of a server that answers every request so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


@pytest.mark.parametrize("words", [["health"], ["call", "/health/detailed"]])
def test_where_no_node_listens_the_answer_says_what_to_do(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[Errno 111]` does not say whether the node or the address is wrong."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HEYDAY_BIND", address)

    assert main(words) == FAILED

    said = capsys.readouterr()
    assert f"http://{address}/" in said.out + said.err
    assert "no node listens there: start one, or correct the address (HEYDAY_BIND)" in said.out + said.err
