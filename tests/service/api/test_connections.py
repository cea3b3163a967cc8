"""Silent, slow and greedy connections cost the node little, and other clients nothing."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from actors import http_server
from service.api.http import connections
from service.api_keys import parse_api_keys
from service.settings import Secret, Settings
from tests.service.api.conftest import Api, Serve

USERS = "/api/v1/users"
GET = b"GET /health/live HTTP/1.1\r\nHost: heyday\r\n"
LIMIT = 8

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


Connect = Callable[[Api], Awaitable[Client]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects to an API. Every connection is closed at the end."""
    writers = []

    async def connected(api: Api) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
        writers.append(writer)
        return reader, writer

    yield connected
    for writer in writers:
        writer.close()


async def answered(client: Client, sent: bytes = GET + b"\r\n") -> bool:
    """Return True if the connection still answers a request."""
    reader, writer = client
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            return b" 200 " in await reader.readuntil(b"}")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def closed(client: Client) -> bool:
    """Wait until the server has closed the connection."""
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            while await client[0].read(65536):
                pass
    return True


@pytest.fixture
async def small(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An API with a low limit of connections."""
    monkeypatch.setattr(http_server, "connection_limit", lambda _settings, _descriptors: LIMIT)
    return await serve()


async def test_silent_connections_give_way_to_a_client_with_a_request(small: Api, connect: Connect) -> None:
    """Opening a connection needs no key, so silent ones must not shut others out."""
    silent = [await connect(small) for _ in range(LIMIT * 5)]

    assert [await answered(await connect(small)) for _ in range(3)] == [True] * 3
    assert await closed(silent[0])


async def test_the_number_of_connections_stays_within_the_limit(small: Api, connect: Connect) -> None:
    """Each uses a descriptor that the delivery path may need."""
    clients = [await connect(small) for _ in range(LIMIT * 5)]

    ended = 0
    for client in clients[: LIMIT * 4]:
        ended += await closed(client)

    assert ended == LIMIT * 4
    assert small.server.open_connections == LIMIT
    assert all([await answered(client) for client in clients[-LIMIT:]])


async def test_a_connection_that_works_on_a_request_does_not_give_way(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many new connections must not end requests under way."""
    monkeypatch.setattr(http_server, "connection_limit", lambda _settings, _descriptors: LIMIT)
    release, asked = asyncio.Event(), asyncio.Semaphore(0)

    class Slow:
        async def get(self, _id: object) -> None:
            asked.release()
            await release.wait()

    api = await serve(users=Slow())
    path = f"{USERS}/00000000-0000-0000-0000-000000000000"
    first = [await connect(api) for _ in range(LIMIT)]
    for _, writer in first:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: heyday\r\n\r\n".encode())
        await asked.acquire()

    late = await connect(api)
    refused = await closed(late)
    release.set()

    assert refused
    for reader, _ in first:
        assert b" 404 " in await reader.readline()


@pytest.mark.parametrize("sent", ["", "part of a head", "a request and part of a head"])
async def test_a_head_that_is_not_whole_in_time_ends_its_connection(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    """A client that drips its headers would hold a descriptor for ever, also after a first request."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.3)
    api = await serve()
    client = await connect(api)

    if "request" in sent:
        while not await answered(client):
            client = await connect(api)  # a busy machine sends its head after the deadline
    if "part" in sent:
        client[1].write(GET)

    assert await closed(client)


async def test_a_connection_between_two_requests_outlives_the_deadline_of_a_head(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies keep connections for the next request."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.05)
    api = await serve()
    while not await answered(client := await connect(api)):
        pass  # a busy machine sends its first head after the deadline

    assert await closed(await connect(api))

    assert await answered(client)


async def test_a_client_that_takes_nothing_of_its_response_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documentation needs no key and has 1.5 MB. Twenty requests fill every buffer."""
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.2)
    api = await serve()
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", urlsplit(api.url).port))
    request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: heyday\r\n\r\n"

    await loop.sock_sendall(client, request * 20)
    async with asyncio.timeout(10):
        while api.server.open_connections == 0:  # noqa: ASYNC110 - the table tells
            await asyncio.sleep(0)
        while api.server.open_connections > 0:  # noqa: ASYNC110 - the table tells
            await asyncio.sleep(0.01)

    received = 0
    with suppress(ConnectionError):
        while piece := await loop.sock_recv(client, 65536):
            received += len(piece)
    client.close()
    assert received < 20_000_000


async def test_compressed_bodies_do_not_hold_up_the_event_loop(api: Api, connect: Connect) -> None:
    """Five bodies of 2 MB delayed `/health/live` by 12 s, because decompression blocked the loop."""
    body = gzip.compress(bytes(100_000_000), 9)
    head = (
        f"POST {USERS} HTTP/1.1\r\nHost: heyday\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def post() -> bytes:
        reader, writer = await connect(api)
        with suppress(ConnectionError):
            writer.write(head + body)
            await writer.drain()
        return await reader.readline()

    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(post()) for _ in range(5)]
        slowest = 0.0
        while not all(task.done() for task in posts):
            began = time.thread_time()
            assert (await api.call("GET", "/health/live"))[0] == 200
            slowest = max(slowest, time.thread_time() - began)

    assert {task.result().split()[1] for task in posts} == {b"415"}
    assert slowest < 1.0


async def test_the_body_of_a_refused_request_is_not_read_on(serve: Serve, connect: Connect) -> None:
    """A client without a key must not make the node read 100 MB."""
    api = await serve({"api_keys": parse_api_keys("a-key-of-16-chars")})
    reader, writer = await connect(api)
    size = 100_000_000
    writer.write(f"POST {USERS} HTTP/1.1\r\nHost: heyday\r\nContent-Length: {size}\r\n\r\n".encode())
    sent = 0

    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(10):
            while sent < size:
                writer.write(bytes(65536))
                sent += 65536
                await writer.drain()

    assert sent < size / 2
    with suppress(ConnectionError):
        assert b" 401 " in await reader.readline()


async def test_a_small_body_that_no_handler_reads_leaves_the_connection_open(api: Api, connect: Connect) -> None:
    """Many HTTP libraries send head and body separately."""
    client = await connect(api)
    client[1].write(b"POST /nothing HTTP/1.1\r\nHost: heyday\r\nContent-Length: 2\r\n\r\n")
    async with asyncio.timeout(10):
        assert b" 404 " in await client[0].readuntil(b"}")

    client[1].write(b"{}")

    assert await answered(client)


async def test_a_request_whose_client_leaves_is_logged_without_its_address(serve: Serve, connect: Connect) -> None:
    """Addresses are personal data, and a client can abort many requests."""
    asked, left = asyncio.Event(), asyncio.Event()

    class Slow:
        async def get(self, _id: object) -> None:
            asked.set()
            await left.wait()
            raise ConnectionResetError("Cannot write to closing transport")

    api = await serve(users=Slow())
    with capture_logs() as lines:
        _, writer = await connect(api)
        path = f"{USERS}/00000000-0000-0000-0000-000000000000"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: heyday\r\n\r\n".encode())
        await asked.wait()
        writer.transport.abort()
        while api.server.open_connections > 0:  # noqa: ASYNC110 - the table tells
            await asyncio.sleep(0)
        left.set()
        while not any(line["event"] == "http_request" for line in lines):  # noqa: ASYNC110 - the log tells
            await asyncio.sleep(0)

    assert [line["status"] for line in lines if line["event"] == "http_request"] == [499]
    assert "127.0.0.1" not in str(lines)
    assert not any(line["log_level"] in ("error", "warning") for line in lines)


def _settings(**changed: int) -> Settings:
    return Settings(Secret(""), Secret(""), Secret(""), **changed)  # type: ignore[arg-type]  # numbers only


@pytest.mark.parametrize(("descriptors", "concurrency"), [(256, 100), (1024, 100), (256, 1000)])
def test_the_delivery_path_has_its_descriptors_before_clients(descriptors: int, concurrency: int) -> None:
    """With few descriptors, a client still gets one."""
    limit = http_server.connection_limit(_settings(email_concurrency=concurrency), descriptors)

    left = descriptors - limit
    assert left >= concurrency + Settings.database_connections or limit == http_server.MIN_CONNECTIONS
    assert limit >= http_server.MIN_CONNECTIONS


def test_a_taken_port_is_named_with_its_address() -> None:
    """Twenty tracebacks did not name the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(http_server.CannotListen, match=f"HEYDAY_BIND=127.0.0.1:{port}: address already in use"):
            http_server.check_address("127.0.0.1", port)

    http_server.check_address("127.0.0.1", port)
