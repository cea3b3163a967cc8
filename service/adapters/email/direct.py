"""One attempt to hand a greeting to the email service, in the plain form and without a proxy.

It keeps the promises of HttpEmailService and does less for a call, which was most of what a greeting cost a node.
docs/decisions/0022-direct-calls.md has the reasons.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from time import perf_counter
from typing import NamedTuple

import orjson
from multidict import CIMultiDict
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random
from yarl import URL

from service.adapters.email.access import OPEN, Access
from service.adapters.email.answers import answer_to
from service.adapters.email.connection import Connection, Response
from service.adapters.email.connection_pool import ConnectionPool
from service.adapters.email.failures import no_answer
from service.adapters.email.http import CONNECT_PAUSE, CONNECT_TRIES, checked_base, plain_destination
from service.call_slots import CallSlots
from service.domain.messages import Answer
from service.email_access import tls_context
from service.environment import Secret
from service.ports import CircuitOpen, Greeting

NO_HEADERS: Mapping[str, str] = {}


class Origin(NamedTuple):
    """The server of a connection, and the certificates it is made with. Another origin needs other connections."""

    host: str
    port: int
    is_encrypted: bool
    ca: Secret | None
    client_certificate: Secret | None


class DirectEmailService:
    """The email service at `base_url`, called with at most `concurrency` connections.

    `timeout` covers everything up to the headers of the answer: waiting for a connection, name, TCP, TLS, writing
    and reading. `access` opens the service; its proxy is not used. Raises ValueError for a URL that cannot be called.
    """

    def __init__(self, base_url: str, *, timeout: timedelta, concurrency: int, access: Access = OPEN) -> None:
        self.timeout = timeout
        self._permits = CallSlots(concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: ConnectionPool | None = None
        self._origin: Origin | None = None
        self._apply(base_url, access)

    async def open(self) -> None:
        """Make ready. Nothing is connected before the first attempt."""
        self._loop = asyncio.get_running_loop()
        self._make_pool()

    async def close(self) -> None:
        """Close the connections. Safe to call twice, and before `open`."""
        self._loop = None
        if self._pool is not None:
            self._pool.abort()
            self._pool = None
            await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop

    def resize(self, concurrency: int) -> None:
        """Use at most this many connections from now on."""
        self._permits.resize(concurrency)

    async def use(self, base_url: str) -> None:
        """Call another URL from now on. Raises ValueError, and changes nothing, for one that cannot be called."""
        self._apply(base_url, self._access)

    async def use_access(self, **changes: Secret) -> None:
        """Open the service with other fields of `Access` from now on. Raises ValueError, and changes nothing then."""
        self._apply(self._base_url, replace(self._access, **changes))

    def _apply(self, base_url: str, access: Access) -> None:
        """Derive from URL and access what every request has. Another host or certificate leads to new connections."""
        url, headers = plain_destination(checked_base(base_url), access)
        assert url.raw_host is not None  # noqa: S101 - checked_base
        assert url.port is not None  # noqa: S101 - http and https have one
        origin = Origin(url.raw_host, url.port, url.scheme == "https", access.ca, access.client_certificate)
        if origin != self._origin:
            self._tls = _tls(origin)
            self._origin = origin
            if self._loop is not None:
                self._make_pool()
        fields = CIMultiDict({"Host": url.host_port_subcomponent or "", "Accept": "*/*"})
        fields.update(headers)
        self._get = _head("GET", url, fields) + b"\r\n"
        self._post = _head("POST", url, fields) + b"Content-Type: application/json\r\n"
        self._base_url, self._access = base_url, access

    def _make_pool(self) -> None:
        assert self._origin is not None  # noqa: S101 - __init__ has applied one
        if self._pool is not None:
            self._pool.close()
        self._pool = ConnectionPool(self._origin.host, self._origin.port, self._tls)

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        Raises CircuitOpen when the greeting was not `allowed` any more, and nothing was written.

        When it is cancelled or out of time the connection is cut, so that the service does not go on with a call
        that no caller waits for.
        """
        request = self._request(greeting)
        written = False
        started = perf_counter()
        try:
            connection, deadline = await self._connection()
            try:
                if not greeting.allowed():
                    connection.release()
                    raise CircuitOpen("what was allowed before the connection is so no longer")
                written = True
                response = await _response(connection, request, deadline)
            finally:
                self._permits.release()
        except OSError as failure:  # TimeoutError is one
            return no_answer(failure, perf_counter() - started, written=written)
        headers = NO_HEADERS if 200 <= response.status < 300 else _headers(response)
        duration = response.head_at - started
        return answer_to(response.status, headers, duration=duration, body=response.body, private=greeting.private)

    async def probe(self) -> int | None:
        """Ask for the URL of greetings by GET, which sends none, and return the status of the answer.

        Raises OSError.
        """
        connection, deadline = await self._connection()
        try:
            return (await _response(connection, self._get, deadline)).status
        finally:
            self._permits.release()

    def _request(self, greeting: Greeting) -> bytes:
        body = orjson.dumps({"email": greeting.email, "message": greeting.text})
        key = str(greeting.id).encode()
        trace = b"" if greeting.traceparent is None else b"traceparent: %b\r\n" % greeting.traceparent.encode()
        return b"%bContent-Length: %d\r\nIdempotency-Key: %b\r\n%b\r\n%b" % (self._post, len(body), key, trace, body)

    async def _connection(self) -> tuple[Connection, float]:
        """Take a permit and an idle or new connection, and return it with the deadline by the loop's clock.

        Raises OSError.
        """
        if self._loop is None or self._pool is None:
            raise RuntimeError("open() comes before attempt() and probe()")
        deadline = self._loop.time() + self.timeout.total_seconds()
        if self._permits.locked():
            async with asyncio.timeout_at(deadline):
                await self._permits.acquire()
        else:
            await self._permits.acquire()  # at once
        try:
            if (connection := self._pool.idle()) is None:
                async with asyncio.timeout_at(deadline):
                    connection = await self._connected(self._pool)
        except BaseException:
            self._permits.release()
            raise
        return connection, deadline

    async def _connected(self, pool: ConnectionPool) -> Connection:
        """Connect, trying again a few times."""
        tries = AsyncRetrying(
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random(*CONNECT_PAUSE),
            retry=retry_if_exception_type(OSError),
            reraise=True,
        )
        async for attempt in tries:
            with attempt:
                return await pool.connect()
        raise AssertionError("tenacity returned without a result")


async def _response(connection: Connection, request: bytes, deadline: float) -> Response:
    """Make a request. When it is cancelled the connection is cut."""
    response = connection.exchange(request, deadline)
    try:
        return await response
    except asyncio.CancelledError:
        connection.abandon(response)
        raise


def _head(method: str, url: URL, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    return "\r\n".join(lines).encode()


def _headers(response: Response) -> Mapping[str, str]:
    """The header fields that `answer_to` reads."""
    found = {"Retry-After": response.header(b"retry-after"), "Date": response.header(b"date")}
    return {name: value for name, value in found.items() if value is not None}


def _tls(origin: Origin) -> ssl.SSLContext | None:
    """The context of encrypted connections. Raises ssl.SSLError and ValueError."""
    if not origin.is_encrypted:
        return None
    context = tls_context(origin.ca, origin.client_certificate)
    context.set_alpn_protocols(["http/1.1"])
    return context
