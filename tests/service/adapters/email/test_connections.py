"""Tests the requests as the server sees them, and the reuse of connections."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
import trustme

from actors.commands.sandbox.email_stub import EmailStub
from service.adapters.email.access import Access
from service.domain.messages import Outcome
from service.environment import Secret
from service.ports import CircuitOpen, Greeting
from tests.service.adapters.email.conftest import HttpClient, MakeClient
from tests.service.adapters.email.raw_server import OK, Behaviour, Connection, RawServer, accepts

StartServer = Callable[[Behaviour], Awaitable[RawServer]]


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("", "/send-email"),
        ("/", "/send-email"),
        ("/api/v2", "/api/v2/send-email"),
        ("/api/v2/", "/api/v2/send-email"),
        ("/a%2Fb%20c", "/a%2Fb%20c/send-email"),
        ("/api?version=3", "/api/send-email?version=3"),
    ],
)
async def test_the_request_goes_to_send_email_below_the_base_url(
    base: str, target: str, raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """Operators copy base URLs with a path, or with a slash too many."""
    server = await raw_server(accepts)
    service = await client(server.url + base)

    await service.attempt(greeting)

    assert server.requests[0].startswith(f"POST {target} HTTP/1.1\r\n".encode())


async def test_a_request_has_exactly_the_promised_headers_and_body(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """Services may refuse unknown fields. The client asks for no compression, because it does not read the body."""
    server = await raw_server(accepts)
    service = await client(server.url)

    await service.attempt(greeting)

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert orjson.loads(body) == {"email": greeting.email, "message": greeting.text}
    assert headers == {
        "Host": server.url.removeprefix("http://"),
        "User-Agent": "heyday",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Idempotency-Key": str(greeting.id),
    }


async def test_an_attempt_that_is_traced_tells_the_service_so(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """The service can continue the trace."""
    server = await raw_server(accepts)
    service = await client(server.url)
    traceparent = f"00-{7:032x}-{8:016x}-01"

    await service.attempt(replace(greeting, traceparent=traceparent))

    assert f"traceparent: {traceparent}".encode() in server.requests[0].split(b"\r\n")


async def test_every_attempt_for_a_message_has_the_same_key(stub: EmailStub, client: MakeClient) -> None:
    """A service recognises repeated attempts by it."""
    service = await client(stub.url)
    messages = [Greeting(UUID(int=n), "a@example.com", "Hey") for n in (1, 2, 1)]

    for message in messages:
        await service.attempt(message)

    assert (stub.ledger.accepted, stub.ledger.keys, stub.ledger.duplicates) == (3, 2, 1)


async def test_credentials_in_the_url_become_a_header(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """Proxies log the request line, so credentials must not be in it."""
    server = await raw_server(accepts)
    service = await client(server.url.replace("//", "//me:s%40crét@"))

    answer = await service.attempt(greeting)

    expected = b"Authorization: Basic " + b64encode("me:s@crét".encode())
    assert expected in server.requests[0].split(b"\r\n")
    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("url", ["mail.example.com", "ftp://mail.example.com", "http://", "/send", "", "http://:99999"])
def test_a_url_that_cannot_be_called_is_refused_at_once(url: str, client_class: type[HttpClient]) -> None:
    """A configuration error is found at start, not at 09:00."""
    with pytest.raises(ValueError, match=r"URL|[Pp]ort|Invalid"):
        client_class(url, timeout=timedelta(seconds=1), concurrency=1)


async def test_no_more_calls_are_in_flight_than_allowed(raw_server: StartServer, client: MakeClient) -> None:
    """The operator has agreed on this limit with the email service."""
    all_of_them = asyncio.Event()

    async def answers_when_four_wait(connection: Connection) -> None:
        if server.connections == 4:
            all_of_them.set()
        while True:
            await connection.request()
            await all_of_them.wait()
            await connection.send(OK)

    server = await raw_server(answers_when_four_wait)
    service = await client(server.url, concurrency=4)

    answers = await asyncio.gather(*(service.attempt(Greeting(UUID(int=n), "a@b.c", "Hey")) for n in range(60)))

    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert (server.most_open, server.connections, len(server.requests)) == (4, 4, 60)


async def test_nothing_is_left_behind_when_it_closes(raw_server: StartServer, client_class: type[HttpClient]) -> None:
    """Leaked connections and tasks would add up."""
    before = asyncio.all_tasks()
    server = await raw_server(accepts)
    service = client_class(server.url, timeout=timedelta(seconds=5), concurrency=5)
    await service.open()
    await asyncio.gather(*(service.attempt(Greeting(UUID(int=n), "a@b.c", "Hey")) for n in range(20)))

    await service.close()
    await service.close()

    await asyncio.wait_for(server.all_closed.wait(), 30)
    await server.close()
    assert server.connections > 0
    assert asyncio.all_tasks() == before


async def test_an_attempt_needs_an_open_client(greeting: Greeting, client_class: type[HttpClient]) -> None:
    """Sending through a closed client is a bug, not an outage of the service."""
    service = client_class("http://127.0.0.1:1", timeout=timedelta(seconds=1), concurrency=1)

    with pytest.raises(RuntimeError, match="open"):
        await service.attempt(greeting)


async def test_tls_is_spoken_with_a_service_whose_certificate_is_trusted(
    greeting: Greeting, certificate: trustme.LeafCert, authority: str, client_class: type[HttpClient]
) -> None:
    """Addresses and names are personal data, so they must be encrypted."""
    async with tls_server(certificate) as server:
        access = Access(ca=Secret(authority))
        service = client_class(server.url, timeout=timedelta(seconds=5), concurrency=1, access=access)
        await service.open()

        answers = [await service.attempt(greeting) for _ in range(2)]

        await service.close()
    assert [answer.outcome for answer in answers] == [Outcome.ACCEPTED] * 2
    assert server.connections == 1


async def test_nothing_is_sent_to_a_service_whose_certificate_is_not_trusted(
    client: MakeClient, greeting: Greeting, certificate: trustme.LeafCert
) -> None:
    """An attacker in between must not get personal data."""
    async with tls_server(certificate) as server:
        service = await client(server.url)

        answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "certificate not valid")
    assert server.requests == []


async def test_a_service_that_does_not_speak_tls_is_no_connection(
    raw_server: StartServer, client: MakeClient, greeting: Greeting
) -> None:
    """https for a plain port is a configuration error. Nothing was sent, so every message may be sent again."""

    async def speaks_plainly(connection: Connection) -> None:
        await connection.read(5)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await connection.rest()

    server = await raw_server(speaks_plainly)
    service = await client(server.url.replace("http:", "https:"))

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "TLS failed")


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert) -> AsyncIterator[RawServer]:
    """A server that shows a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    server = RawServer(accepts, tls=context)
    await server.listen()
    yield server
    await server.close()


async def test_a_greeting_that_is_not_allowed_any_more_is_not_written(
    stub: EmailStub, client: MakeClient, greeting: Greeting
) -> None:
    """Sending was held while the connection was made. No attempt is made, and the next one works."""
    service = await client(stub.url)
    asked = []

    def no_longer() -> bool:
        asked.append(True)
        return False

    with pytest.raises(CircuitOpen):
        await service.attempt(replace(greeting, allowed=no_longer))
    assert asked == [True]
    assert stub.ledger.requests == 0

    assert (await service.attempt(greeting)).outcome is Outcome.ACCEPTED
    assert stub.ledger.requests == 1
