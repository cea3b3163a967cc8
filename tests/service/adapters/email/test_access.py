"""Tests the access to the email service: token, headers, proxy and certificates."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
import trustme

from service.adapters.email import HttpEmailService
from service.adapters.email.access import Access
from service.adapters.email.failures import no_answer
from service.domain.messages import Outcome, UnavailableReason
from service.domain.service_health import reason_of
from service.environment import Secret
from service.ports import Greeting
from tests.service.adapters.email.conftest import HttpClient
from tests.service.adapters.email.raw_server import Behaviour, Connection, RawServer, accepts

StartServer = Callable[[Behaviour], Awaitable[RawServer]]


@asynccontextmanager
async def opened(url: str, of: type[HttpClient] = HttpEmailService, **access: Secret) -> AsyncIterator[HttpClient]:
    """A client with this access. The default is the one that can use a proxy."""
    service = of(url, timeout=timedelta(seconds=5), concurrency=2, access=Access(**access))
    await service.open()
    try:
        yield service
    finally:
        await service.close()


def lines(request: bytes) -> list[str]:
    """The head of a request, line by line."""
    return request.partition(b"\r\n\r\n")[0].decode().split("\r\n")


async def test_a_token_is_sent_and_a_new_one_is_used_by_the_next_attempt(
    raw_server: StartServer, greeting: Greeting, client_class: type[HttpClient]
) -> None:
    """A rotated token needs no restart, and no new connection."""
    server = await raw_server(accepts)
    async with opened(server.url, client_class, token=Secret("first")) as service:
        await service.attempt(greeting)
        await service.use_access(token=Secret("second"))
        await service.attempt(greeting)

    assert ["Authorization: Bearer first" in lines(server.requests[0]), server.connections] == [True, 1]
    assert "Authorization: Bearer second" in lines(server.requests[1])


async def test_headers_are_sent_beside_those_of_the_message(
    raw_server: StartServer, greeting: Greeting, client_class: type[HttpClient]
) -> None:
    """A gateway may need its own key. The message's headers stay."""
    server = await raw_server(accepts)
    async with opened(server.url, client_class, headers=Secret("X-Api-Key: s3cret: x\nUser-Agent: ours")) as service:
        await service.attempt(greeting)

    sent = lines(server.requests[0])
    assert {"X-Api-Key: s3cret: x", "User-Agent: ours", f"Idempotency-Key: {greeting.id}"} <= set(sent)
    assert "User-Agent: heyday" not in sent


async def test_a_proxy_gets_the_request_with_its_credentials(raw_server: StartServer, greeting: Greeting) -> None:
    """The proxy resolves the name of the service, and does not get the service's credentials."""
    server = await raw_server(accepts)
    proxy = server.url.replace("//", "//us%40er:p%3Ass@")
    async with opened("http://mail.invalid/v1", proxy=Secret(proxy), token=Secret("ours")) as service:
        answer = await service.attempt(greeting)

    sent = lines(server.requests[0])
    assert answer.outcome is Outcome.ACCEPTED
    assert sent[0] == "POST http://mail.invalid/v1/send-email HTTP/1.1"
    assert "Proxy-Authorization: Basic " + b64encode(b"us@er:p:ss").decode() in sent
    assert "Authorization: Bearer ours" in sent


async def test_no_proxy_names_hosts_that_are_called_directly(
    raw_server: StartServer, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other programs honour NO_PROXY, too."""
    server = await raw_server(accepts)
    monkeypatch.setenv("no_proxy", "example.com, 127.0.0.1")
    async with opened(server.url, proxy=Secret("http://proxy.invalid:3128")) as service:
        answer = await service.attempt(greeting)

    assert answer.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("status", "reason"), [(407, UnavailableReason.NOT_AUTHORISED), (502, UnavailableReason.UNREACHABLE)]
)
async def test_a_proxy_that_refuses_the_tunnel_has_passed_nothing_on(
    status: int, reason: UnavailableReason, raw_server: StartServer, greeting: Greeting
) -> None:
    """Nothing was sent, so every message may be sent again."""

    async def refuses(connection: Connection) -> None:
        await connection.read(1)
        await connection.send(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
        await connection.rest()

    server = await raw_server(refuses)
    async with opened("https://mail.invalid", proxy=Secret(server.url)) as service:
        answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, f"the proxy answered {status}")
    assert reason_of(answer) is reason


async def test_a_tunnel_through_a_proxy_is_encrypted_to_the_service(
    raw_server: StartServer, greeting: Greeting, certificate: trustme.LeafCert, authority: str
) -> None:
    """The proxy sees the host, and no greeting."""
    async with tls_server(certificate) as service_behind:

        async def tunnels(connection: Connection) -> None:
            head = await connection.head()
            assert head.startswith(b"CONNECT localhost:")
            await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await connection.tunnel(*service_behind.address)

        proxy = await raw_server(tunnels)
        url = service_behind.url.replace("127.0.0.1", "localhost")
        async with opened(url, proxy=Secret(proxy.url), ca=Secret(authority)) as service:
            answer = await service.attempt(greeting)

    assert answer.outcome is Outcome.ACCEPTED
    assert len(service_behind.requests) == 1


async def test_a_service_may_ask_for_a_client_certificate(
    greeting: Greeting, certificate: trustme.LeafCert, authority: str, client_pem: str, client_class: type[HttpClient]
) -> None:
    """Certificate and key are one secret. A new one is used at once."""
    async with (
        tls_server(certificate, asks_for=authority) as server,
        opened(server.url, client_class, ca=Secret(authority)) as service,
    ):
        before = await service.attempt(greeting)
        await service.use_access(client_certificate=Secret(client_pem))
        after = await service.attempt(greeting)

    # In TLS 1.3 the client may have written by then: the alert, or a reset, comes too late to tell.
    assert before.outcome in {Outcome.TRANSIENT_FAILURE, Outcome.UNKNOWN}
    assert (after.outcome, len(server.requests)) == (Outcome.ACCEPTED, 1)


def test_an_alert_about_our_certificate_says_that_nothing_was_read() -> None:
    """The server ended the handshake although the client had already written."""
    failure = aiohttp.ClientOSError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")

    answer = no_answer(failure, 0.1, written=True)

    assert (answer.outcome, reason_of(answer)) == (Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED)
    assert no_answer(aiohttp.ClientOSError(104, "reset"), 0.1, written=True).outcome is Outcome.UNKNOWN


async def test_a_probe_asks_by_get_with_the_credentials(
    raw_server: StartServer, client_class: type[HttpClient]
) -> None:
    """It sends no greeting, and shows whether the token is accepted."""
    heads: list[bytes] = []

    async def denies(connection: Connection) -> None:
        heads.append(await connection.head())
        await connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    server = await raw_server(denies)
    async with opened(server.url, client_class, token=Secret("old")) as service:
        status = await service.probe()

    assert status == 401
    assert lines(heads[0])[0] == "GET /send-email HTTP/1.1"
    assert "Authorization: Bearer old" in lines(heads[0])


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert, *, asks_for: str | None = None) -> AsyncIterator[RawServer]:
    """A TLS server. It requires client certificates of this authority, if one is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if asks_for is not None:
        context.load_verify_locations(cadata=asks_for)
        context.verify_mode = ssl.CERT_REQUIRED
    server = RawServer(accepts, tls=context)
    await server.listen()
    # The loop logs a refused handshake, which is no failure of this test.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    yield server
    await server.close()
