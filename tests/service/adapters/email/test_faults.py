"""Tests the outcome of an attempt for every fault on the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from itertools import count

import aiohttp
import pytest
from aiohttp.abc import AbstractStreamWriter

from service.adapters.email import DirectEmailService
from service.adapters.email.connection import Connection as ClientConnection
from service.adapters.email.connection_pool import ConnectionPool
from service.adapters.email.http import RequestBody
from service.domain.messages import Outcome
from service.ports import Greeting
from tests.service.adapters.email.conftest import HttpClient, MakeClient
from tests.service.adapters.email.raw_server import Behaviour, Connection, RawServer

StartServer = Callable[[Behaviour], Awaitable[RawServer]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def answers(data: bytes) -> Behaviour:
    """Read a request, send this, and wait until the client ends the connection."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)
        await connection.rest()

    return behave


def answers_and_closes(data: bytes) -> Behaviour:
    """Read a request, send this, and close."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)

    return behave


def drips_its_answer(data: bytes) -> Behaviour:
    """Read a request, and send this answer in pieces that split the end of its head."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        end = data.index(b"\r\n\r\n")
        for part in (data[: end + 1], data[end + 1 : end + 3], data[end + 3 :]):
            await connection.send(part)
            await asyncio.sleep(0.01)
        await connection.rest()

    return behave


async def hangs(connection: Connection) -> None:
    """Read a request and never answer."""
    await connection.request()
    await connection.rest()


async def never_reads(connection: Connection) -> None:
    """Accept the connection, and neither read nor write."""
    await asyncio.Event().wait()


async def resets(connection: Connection) -> None:
    """Read a request and reset the connection."""
    await connection.request()
    connection.reset()


async def resets_in_the_middle(connection: Connection) -> None:
    """Reset the connection after the first bytes of a request."""
    await connection.read(10)
    connection.reset()


async def drips(connection: Connection) -> None:
    """Send an endless head, one header every few milliseconds, so that no single read takes long."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    for number in count():
        await connection.send(b"x-%d: y\r\n" % (number % 9))
        await asyncio.sleep(0.01)


async def floods(connection: Connection) -> None:
    """Answer 200 with a body that never ends."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await connection.send(b"x" * 65536)


UNANSWERED = {
    "closes after reading": (answers_and_closes(b""), "connection lost before an answer"),
    "resets after reading": (resets, "connection lost before an answer (ECONNRESET)"),
    "resets in the middle of the request": (resets_in_the_middle, "connection lost before an answer (ECONNRESET)"),
    "hangs after reading": (hangs, "no answer in time"),
    "never reads": (never_reads, "no answer in time"),
    "drips headers": (drips, "no answer in time"),
    "sends half a status line and hangs": (answers(b"HTTP/1.1 20"), "no answer in time"),
    "sends half a status line and closes": (answers_and_closes(b"HTTP/1.1 20"), "connection lost before an answer"),
    "sends half of the headers and closes": (
        answers_and_closes(b"HTTP/1.1 200 OK\r\nServer: "),
        "connection lost before an answer",
    ),
    "sends garbage": (answers(b"\x00\xff\xfe mary@example.com \r\n\r\n"), "malformed answer"),
    "speaks another protocol": (answers(b"220 mail.example.com ESMTP\r\n"), "malformed answer"),
    "sends a status code that is none": (answers(b"HTTP/1.1 2x0 OK\r\n\r\n"), "malformed answer"),
    "sends one giant header": (answers(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500_000 + b"\r\n\r\n"), "malformed answer"),
    "sends a thousand headers": (answers(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n"), "malformed answer"),
    "only ever says 100": (answers(b"HTTP/1.1 100 Continue\r\n\r\n" * 5), "no answer in time"),
}


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_once_the_request_was_written_the_lack_of_an_answer_is_unknown(
    fault: str, raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """If it counted as a failure, a greeting that the service accepted would be sent twice."""
    behaviour, error = UNANSWERED[fault]
    # The second is for a machine that stood still until the time was up, before it had connected.
    for timeout in (0.3, 5) if error == "no answer in time" else (60,):
        server = await raw_server(behaviour)
        service = await client(server.url, timeout=timeout)

        answer = await service.attempt(greeting)

        if answer.error != "no connection in time":
            break

    assert (answer.outcome, answer.status_code, answer.retry_after) == (Outcome.UNKNOWN, None, None)
    assert answer.error == error
    assert server.connections == 1


ACCEPTED = {
    "has no body": answers(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "is short of its body and closes": answers_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
    "is short of its body and hangs": answers(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nabc"),
    "has an endless body": floods,
    "has a huge body": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000),
    "has a body that is not the gzip it claims": answers(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "has cookies that nobody can read": answers(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=;;;=,\r\nContent-Length: 0\r\n\r\n"
    ),
    "comes after early hints": answers(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK),
    "has nonsense for chunks": answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    "has a body where none may be": answers(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nsent"),
    "has more than its length": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n{}"),
    "comes byte by byte with nonsense": drips_its_answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
    ),
    "ends with the connection": answers_and_closes(b"HTTP/1.0 200 OK\r\n\r\n{}"),
}


@pytest.mark.parametrize("form", ACCEPTED)
async def test_a_2xx_is_accepted_with_any_body(
    form: str, raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """The status line accepts the message, so no later fault may cause a second greeting."""
    server = await raw_server(ACCEPTED[form])
    service = await client(server.url)

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.ACCEPTED, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    status: int, raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """A followed redirect would give addresses to another server, or become a GET that looks like success."""
    elsewhere = await raw_server(answers(OK))
    server = await raw_server(
        answers(b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, elsewhere.url.encode()))
    )
    service = await client(server.url)

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.status_code) == (Outcome.TRANSIENT_FAILURE, status)
    assert elsewhere.connections == 0


async def test_a_rejection_hands_on_its_retry_after(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """The retry policy needs the value."""
    server = await raw_server(answers(b"HTTP/1.1 429 x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"))
    service = await client(server.url)

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.status_code, answer.error) == (
        Outcome.TRANSIENT_FAILURE,
        429,
        "429 Too Many Requests",
    )
    assert answer.retry_after is not None
    assert answer.retry_after.total_seconds() == 7


async def test_a_refused_connection_is_rejected_after_three_quick_tries(
    client: MakeClient, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that restarts is back soon. One that is down must not delay the caller."""
    pauses: list[float] = []
    monkeypatch.setattr(asyncio, "sleep", noting(pauses))
    with bound_socket() as sock:
        service = await client(f"http://127.0.0.1:{sock.getsockname()[1]}")

        answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "no connection (ECONNREFUSED)")
    assert len(pauses) == 2
    assert all(0.01 <= pause <= 0.05 for pause in pauses)


async def test_a_connection_that_succeeds_on_the_second_try_delivers_once(
    client: MakeClient, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick retry is safe because nothing was written before it."""
    server = RawServer(answers(OK))
    async with AsyncExitStack() as stack:
        sock = stack.enter_context(bound_socket())
        stack.push_async_callback(server.close)
        monkeypatch.setattr(asyncio, "sleep", noting([], then=lambda: server.listen(sock)))
        service = await client(f"http://127.0.0.1:{sock.getsockname()[1]}")

        answer = await service.attempt(greeting)

        assert answer.outcome is Outcome.ACCEPTED
        assert len(server.requests) == 1


async def test_a_name_that_does_not_resolve_is_rejected(
    client: MakeClient, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken resolver is an outage. Nothing was sent, so every message may be sent again."""

    async def not_found(resolver: object, host: str, *args: object, **kwargs: object) -> None:
        raise OSError(None, f"{host} is not known")

    async def not_known(pool: ConnectionPool) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", not_found)
    monkeypatch.setattr(ConnectionPool, "_look_up", not_known)
    service = await client("http://mail.example.com")

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "name not resolved")


async def test_a_host_that_swallows_packets_is_rejected_when_time_is_up(client: MakeClient, greeting: Greeting) -> None:
    """The deadline covers the connection. Nothing was written, so the outcome is known."""
    with swallowing_port() as port:
        service = await client(f"http://127.0.0.1:{port}", timeout=0.1)

        answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "no connection in time")


async def test_waiting_for_a_free_connection_counts_against_the_deadline(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """Otherwise a call could take one time-out for each caller before it."""
    server = await raw_server(hangs)
    service = await client(server.url, concurrency=1)
    async with asyncio.TaskGroup() as group:
        blocking = group.create_task(service.attempt(greeting))
        await server.heard.get()
        service.timeout /= 50

        answer = await service.attempt(greeting)

        blocking.cancel()
    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "no connection in time")


@pytest.mark.parametrize("end", ["time-out", "cancellation"])
async def test_the_end_of_a_call_cuts_its_connection(
    end: str, raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """A service that still works on an abandoned call may deliver while heyday tries again."""
    cut = asyncio.Event()

    async def notices(connection: Connection) -> None:
        await hangs(connection)
        cut.set()

    server = await raw_server(notices)
    # Long enough for the request to arrive on a machine that stands still for a second.
    service = await client(server.url, timeout=2 if end == "time-out" else 60)

    attempt = asyncio.ensure_future(service.attempt(greeting))
    await server.heard.get()
    if end == "cancellation":
        attempt.cancel()
    await asyncio.wait([attempt])

    await asyncio.wait_for(cut.wait(), 30)
    assert attempt.cancelled() == (end == "cancellation")


async def test_what_was_not_yet_sent_when_time_is_up_is_never_sent(client: MakeClient, greeting: Greeting) -> None:
    """A normal close would send the buffered rest later, and the service would get a whole request."""
    may_read, received = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def reads_late(connection: Connection) -> None:
        await may_read.wait()
        received.set_result(len(await connection.rest()))

    server = RawServer(reads_late)
    with bound_socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await server.listen(sock)
        service = await client(server.url, timeout=2)
        long = replace(greeting, text="x" * 1_000_000)  # more than fits between the two

        answer = await service.attempt(long)

        may_read.set()
        assert answer.outcome is Outcome.UNKNOWN
        assert await received < len(long.text)
        await server.close()


async def test_a_kept_connection_that_dies_under_a_request_is_not_repeated_silently(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """The service may have read the second request before it closed."""

    async def answers_only_the_first(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.request()

    server = await raw_server(answers_only_the_first)
    service = await client(server.url)

    outcomes = [(await service.attempt(greeting)).outcome for _ in range(2)]

    assert outcomes == [Outcome.ACCEPTED, Outcome.UNKNOWN]
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_connection_that_died_while_it_was_idle_is_replaced(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """Services close idle connections, and that must not spend an attempt."""
    server = await raw_server(answers_and_closes(OK))
    service = await client(server.url)

    outcomes = []
    for _ in range(3):
        outcomes.append((await service.attempt(greeting)).outcome)
        await idle_connections_closed(service)

    assert outcomes == [Outcome.ACCEPTED] * 3
    assert server.connections == 3


async def test_a_connection_that_closes_before_a_byte_was_written_is_replaced(
    raw_server: StartServer, client: MakeClient, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was certainly not sent is repeated at once. Here the connection closes before the write."""
    server = await raw_server(answers(OK))
    service = await client(server.url)
    write, closed = RequestBody.write_with_length, list[asyncio.BaseTransport]()
    made = ClientConnection.connection_made

    async def close_the_first(body: RequestBody, writer: AbstractStreamWriter, length: int | None) -> None:
        if not closed and writer.transport is not None:
            writer.transport.close()
            closed.append(writer.transport)
        await write(body, writer, length)

    def close_the_first_made(connection: ClientConnection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        if not closed:
            asyncio.get_running_loop().call_soon(transport.close)
            closed.append(transport)

    monkeypatch.setattr(RequestBody, "write_with_length", close_the_first)
    monkeypatch.setattr(ClientConnection, "connection_made", close_the_first_made)

    answer = await service.attempt(greeting)

    assert (answer.outcome, len(closed)) == (Outcome.ACCEPTED, 1)
    assert (server.connections, len(server.requests)) == (2, 1)


def noting(pauses: list[float], then: Callable[[], Awaitable[None]] | None = None) -> Callable[..., Awaitable[None]]:
    """A sleep that returns at once, and records the requested duration."""
    turn = asyncio.sleep

    async def sleep(seconds: float, *args: object) -> None:
        if seconds:
            pauses.append(seconds)
            if then is not None:
                await then()
        await turn(0)

    return sleep


async def idle_connections_closed(service: HttpClient) -> None:
    """Wait until the client has noticed that every connection in its pool is closed."""
    if isinstance(service, DirectEmailService):
        assert service._pool is not None
        async with asyncio.timeout(30):
            while any(not connection.is_closing for connection in service._pool._idle):  # noqa: ASYNC110
                await asyncio.sleep(0)
        return
    assert service._session is not None
    assert service._session.connector is not None
    pool = service._session.connector._conns
    await asyncio.gather(*(protocol.closed for of_host in pool.values() for protocol, _ in of_host if protocol.closed))


def bound_socket() -> socket.socket:
    """A socket on a port that refuses connections until it listens."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@contextmanager
def swallowing_port() -> Iterator[int]:
    """A port whose connection queue is full, so that further connections get no answer."""
    with ExitStack() as stack:
        listening = stack.enter_context(bound_socket())
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
