"""One attempt to hand a greeting to the email service, over HTTP.

The promise is that an Answer never claims more than is known: REJECTED without a status code means that not one
byte of the request was written, and once a byte was, the lack of an answer is UNKNOWN.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import ssl
import struct
from contextlib import suppress
from datetime import timedelta
from time import perf_counter

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random
from yarl import URL

from service.adapters.email.answers import answer_to
from service.domain.messages import Answer, Outcome
from service.ports import Greeting

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept. Node, uvicorn and Apache close theirs after 5 s: a request that crosses with
that close has an unknown outcome, while a new connection costs a few round trips."""

CONNECT_TRIES = 3
CONNECT_PAUSE = (0.01, 0.05)
"""Seconds between tries to connect, drawn at random. Longer outages are left to the circuit and to the retry policy."""

DRAIN_LIMIT = 64 * 1024
DRAIN_WITHIN = 0.25
"""Bytes and seconds spent on the body of an answer, so that its connection can be used again; beyond, it is closed."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class HttpEmailService:
    """The email service at `base_url`, called with at most `concurrency` connections.

    `timeout` covers everything up to the headers of the answer: waiting for a connection, name, TCP, TLS, writing
    and reading. `tls` replaces the system's certificate authorities. Raises ValueError for a URL that cannot be called.
    """

    def __init__(
        self, base_url: str, *, timeout: timedelta, concurrency: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self.timeout = timeout
        self._url, self._headers = _destination(base_url)
        self._concurrency = concurrency
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session. Nothing is connected before the first attempt."""
        # A connector larger than the number of calls in flight costs a fifth of the throughput.
        connector = aiohttp.TCPConnector(
            limit=self._concurrency, keepalive_timeout=KEEP_ALIVE, ssl=True if self._tls is None else self._tls
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,  # the body is not read: a compressed bomb stays packed
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # one deadline of our own, see `attempt`
        )

    async def close(self) -> None:
        """Close the session and its connections. Safe to call twice, and before `open`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        When it is cancelled or out of time the connection is cut, so that the service does not go on with a call
        that nobody waits for.
        """
        body = _Body(orjson.dumps({"email": greeting.email, "message": greeting.text}), content_type="application/json")
        headers = {"Idempotency-Key": str(greeting.id)}
        if greeting.traceparent is not None:
            headers["traceparent"] = greeting.traceparent
        started = perf_counter()
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                response = await self._post(body, headers)
        except (aiohttp.ClientError, OSError) as failure:  # TimeoutError is an OSError
            body.abort()
            outcome = Outcome.UNKNOWN if body.written else Outcome.REJECTED
            return Answer(outcome, perf_counter() - started, error=_describe(failure, written=body.written))
        except asyncio.CancelledError:
            body.abort()
            raise
        answer = answer_to(response.status, response.headers, duration=perf_counter() - started)
        if not response.content.is_eof():
            await _drain(response, body)
        return answer

    async def _post(self, body: _Body, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Post, trying again as long as no byte was written. Returns with the headers of the answer."""
        if self._session is None:
            raise RuntimeError("open() comes before attempt()")
        # aiohttp repeats a request on its own after a stale connection, but never a POST.
        try:
            return await self._session.post(self._url, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as failure:
            if body.written:
                raise
            first = failure
        tries = AsyncRetrying(
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random(*CONNECT_PAUSE),
            retry=retry_if_exception(lambda e: isinstance(e, (aiohttp.ClientError, OSError)) and not body.written),
            reraise=True,
        )
        async for attempt in tries:
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first  # the try above: it stands outside because the machinery costs as much as a POST
                return await self._session.post(self._url, data=body, headers=headers, allow_redirects=False)
        raise AssertionError("tenacity returned without a result")


class _Body(aiohttp.BytesPayload):
    """The body of a request, which knows whether it was written and can cut the connection it was written to.

    aiohttp keeps the headers back until the body's first byte, so nothing of a request leaves before this does.
    """

    _transport: asyncio.WriteTransport | None = None

    @property
    def written(self) -> bool:
        """Whether any byte of the request may have left this machine."""
        return self._transport is not None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write, remembering where. Called by aiohttp once it holds a connection."""
        transport = writer.transport
        if transport is not None and not transport.is_closing():  # aiohttp raises then, and nothing is written
            self._transport = transport
        await super().write_with_length(writer, content_length)

    def abort(self) -> None:
        """Reset the connection: after a mere close the kernel would go on delivering what is on its way, for minutes.

        aiohttp has only just asked for that close; the socket lives until the loop's next turn.
        """
        if self._transport is not None:
            with suppress(OSError, ValueError):  # already gone, as asyncio and uvloop say it
                connection = self._transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()


async def _drain(response: aiohttp.ClientResponse, body: _Body) -> None:
    """Read the rest of a small body, which gives the connection back; cut off one that is long, slow or broken."""
    left = DRAIN_LIMIT
    try:
        async with asyncio.timeout(DRAIN_WITHIN):
            while left > 0 and not response.content.at_eof():
                left -= len(await response.content.readany())
    except (aiohttp.ClientError, OSError):
        pass  # what was answered stands in the status line
    finally:
        if not response.content.is_eof():
            response.close()
            body.abort()


def _destination(base_url: str) -> tuple[URL, dict[str, str]]:
    """The URL to post to, and the headers of every request. A user and password in the URL become a header."""
    base = URL(base_url)
    if base.scheme not in {"http", "https"} or not base.host:
        raise ValueError("the URL of the email service must be http://host or https://host, with an optional path")
    headers = {"User-Agent": "heyday"}
    if base.user is not None or base.password is not None:
        credentials = f"{base.user or ''}:{base.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
    return (base / "send-email").with_query(base.query).with_user(None), headers


def _describe(failure: Exception, *, written: bool) -> str:
    """A few words on why there is no answer. The exception's own text names hosts, so it is not used."""
    match failure:
        case aiohttp.ClientConnectorDNSError():
            return "name not resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "certificate not valid"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "TLS failed"
        case aiohttp.ClientResponseError():
            return "malformed answer"
        case TimeoutError():
            return "no answer in time" if written else "no connection in time"
    reason = errno.errorcode.get(failure.errno or 0) if isinstance(failure, OSError) else None
    what = "connection lost before an answer" if written else "no connection"
    return f"{what} ({reason})" if reason else what
