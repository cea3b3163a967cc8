"""One attempt to hand a greeting to the email service, over HTTP.

An Answer never claims more than is known: a transient failure without a status code means that not one byte of the
request was written, and once a byte was, the lack of an answer is an unknown outcome.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import cast

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random
from yarl import URL

from service.adapters.email.access import OPEN, Access
from service.adapters.email.answers import answer_to, basic
from service.adapters.email.connection import DRAIN_LIMIT, DRAIN_WITHIN, KEPT_OF_BODY
from service.adapters.email.connection_pool import KEEP_ALIVE
from service.adapters.email.failures import no_answer
from service.adapters.email.reset import reset
from service.domain.messages import Answer
from service.environment import Secret
from service.ports import CircuitOpen, Greeting

CONNECT_TRIES = 3
CONNECT_PAUSE = (0.01, 0.05)
"""Seconds between tries to connect, drawn at random. Longer outages are left to the circuit and to the retry policy."""

_BODILESS = re.compile(rb"HTTP/1\.[01] (204|205|304)")
"""Answers that have no body, even if their headers announce one (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


class HttpEmailService:
    """The email service at `base_url`, called with at most `concurrency` connections.

    `timeout` covers everything up to the headers of the answer: waiting for a connection, name, TCP, TLS, writing
    and reading. `access` opens the service. Raises ValueError for a URL that cannot be called.
    """

    def __init__(self, base_url: str, *, timeout: timedelta, concurrency: int, access: Access = OPEN) -> None:
        self.timeout = timeout
        self._concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None
        self._apply(base_url, access)

    async def open(self) -> None:
        """Make the session. Nothing is connected before the first attempt."""
        # A connector larger than the number of calls in flight costs a fifth of the throughput.
        connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=KEEP_ALIVE)
        # The library has no public way to give a connector another protocol, or another limit.
        protocol = cast("type[ResponseHandler]", _HeadFirst)
        connector._factory = partial(protocol, loop=asyncio.get_running_loop())  # noqa: SLF001
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

    def resize(self, concurrency: int) -> None:
        """Use at most this many connections from now on."""
        self._concurrency = concurrency
        if self._session is not None and self._session.connector is not None:
            self._session.connector._limit = concurrency  # noqa: SLF001 - see `open`

    async def use(self, base_url: str) -> None:
        """Call another URL from now on. Raises ValueError, and changes nothing, for one that cannot be called."""
        self._apply(base_url, self._access)

    async def use_access(self, **changes: Secret) -> None:
        """Open the service with other fields of `Access` from now on. Raises ValueError, and changes nothing then."""
        self._apply(self._base_url, replace(self._access, **changes))

    def _apply(self, base_url: str, access: Access) -> None:
        """Derive from URL and access what every request has. A new certificate leads to new connections."""
        self._url, self._headers = self._destination(checked_base(base_url), access)
        self._options = {"allow_redirects": False, **access.options(self._url)}
        self._base_url, self._access = base_url, access
        if self._session is not None:
            self._session.headers.clear()
            self._session.headers.update(self._headers)

    def _destination(self, base: URL, access: Access) -> tuple[URL, dict[str, str]]:
        """The URL to post to, and the headers of every request."""
        return plain_destination(base, access)

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        Raises CircuitOpen when the greeting was not `allowed` any more, and nothing was written.

        When it is cancelled or out of time the connection is cut, so that the service does not go on with a call
        that no caller waits for.
        """
        body, headers = self._request(greeting)
        body.allowed = greeting.allowed
        if greeting.traceparent is not None:
            headers["traceparent"] = greeting.traceparent
        started = perf_counter()
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                response = await self._post(body, headers)
        except (aiohttp.ClientError, OSError) as failure:  # TimeoutError is an OSError
            body.abort()
            if body.refused:
                raise CircuitOpen("what was allowed before the connection is so no longer") from failure
            return no_answer(failure, perf_counter() - started, written=body.written)
        except asyncio.CancelledError:
            body.abort()
            raise
        duration = perf_counter() - started
        said = await _drain(response, body)
        return self._answer(response.status, response.headers, duration, said, greeting)

    def _request(self, greeting: Greeting) -> tuple[RequestBody, dict[str, str]]:
        """The body of a request, and the headers that only this one has."""
        body = RequestBody(
            orjson.dumps({"email": greeting.email, "message": greeting.text}), content_type="application/json"
        )
        return body, {"Idempotency-Key": str(greeting.id)}

    def _answer(
        self, status: int, headers: Mapping[str, str], duration: float, said: bytes, greeting: Greeting
    ) -> Answer:
        """The meaning of an answer whose body begins with `said`."""
        return answer_to(status, headers, duration=duration, body=said, private=greeting.private)

    async def probe(self) -> int | None:
        """Ask for the URL of greetings by GET, which sends none, and return the status of the answer.

        None if no request would show whether the credentials are taken. Raises aiohttp.ClientError and OSError.
        """
        return await self._get(self._url, {})

    async def _get(self, url: URL, headers: dict[str, str]) -> int:
        if self._session is None:
            raise RuntimeError("open() comes before probe()")
        async with (
            asyncio.timeout(self.timeout.total_seconds()),
            self._session.get(url, headers=headers, **self._options) as response,
        ):
            return response.status

    async def _post(self, body: RequestBody, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Post, trying again as long as no byte was written. Returns with the headers of the answer."""
        if self._session is None:
            raise RuntimeError("open() comes before attempt()")
        # aiohttp repeats a request on its own after a stale connection, but never a POST.
        try:
            return await self._session.post(self._url, data=body, headers=headers, **self._options)
        except (aiohttp.ClientError, OSError) as failure:
            if body.written or body.refused:
                raise
            first = failure
        tries = AsyncRetrying(
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random(*CONNECT_PAUSE),
            retry=retry_if_exception(lambda e: _is_early(e, body)),
            reraise=True,
        )
        async for attempt in tries:
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first  # the try above: it stands outside because the machinery costs as much as a POST
                return await self._session.post(self._url, data=body, headers=headers, **self._options)
        raise AssertionError("tenacity returned without a result")


def _is_early(failure: BaseException, body: RequestBody) -> bool:
    """True when the connection failed before the request was written, so that it may be tried again."""
    return isinstance(failure, (aiohttp.ClientError, OSError)) and not (body.written or body.refused)


class RequestBody(aiohttp.BytesPayload):
    """The body of a request, which knows whether it was written and can cut the connection it was written to.

    aiohttp keeps the headers back until the body's first byte, so nothing of a request leaves before this does.
    """

    _transport: asyncio.WriteTransport | None = None
    allowed: Callable[[], bool] | None = None
    """Asked before the first byte is written."""
    refused = False
    """True when it was not allowed, and nothing was written."""

    @property
    def written(self) -> bool:
        """True if a byte of the request may have left this machine."""
        return self._transport is not None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write, remembering where. Called by aiohttp once it holds a connection."""
        if self.allowed is not None and not self.allowed():
            self.refused = True
            raise ConnectionAbortedError("the request is not allowed any more")
        transport = writer.transport
        if transport is not None and not transport.is_closing():  # aiohttp raises then, and nothing is written
            self._transport = transport
        await super().write_with_length(writer, content_length)

    def abort(self) -> None:
        """Reset the connection that the request was written to."""
        if self._transport is not None:
            reset(self._transport)


class _HeadFirst(ResponseHandler):
    """Gives the parser the head of an answer before its body.

    The parser throws away an answer that comes in one piece with something that is not HTTP, such as a body where none
    may be. The status line has said by then what became of the message.
    """

    _end = b""

    def data_received(self, data: bytes) -> None:
        """Hand on what was received, the head by itself."""
        seen = self._end + data
        end = seen.find(b"\r\n\r\n")
        self._end = seen[-3:]
        if end >= 0 and _BODILESS.match(seen) and b"content-length:" in seen[:end].lower():
            self.force_close()  # the body that may not be there would be taken for the next answer
        if end >= 0 and (head := end + 4 - len(seen) + len(data)) < len(data):
            super().data_received(data[:head])
            super().data_received(data[head:])
        else:
            super().data_received(data)


async def _drain(response: aiohttp.ClientResponse, body: RequestBody) -> bytes:
    """Read the rest of a small body, which gives the connection back, and return its first bytes.

    A body that is long, slow or broken is cut off: what was answered stands in the status line.
    """
    content, kept = response.content, b""
    if content.is_eof():
        with suppress(aiohttp.ClientError, OSError):
            kept = content.read_nowait(KEPT_OF_BODY)
        return kept
    left = DRAIN_LIMIT
    try:
        async with asyncio.timeout(DRAIN_WITHIN):
            while left > 0 and not content.at_eof():
                chunk = await content.readany()
                left -= len(chunk)
                kept += chunk[: KEPT_OF_BODY - len(kept)]
    except (aiohttp.ClientError, OSError):
        pass
    finally:
        if not content.is_eof():
            response.close()
            body.abort()
    return kept


def checked_base(base_url: str) -> URL:
    """The base URL of the service. Raises ValueError for one that cannot be called."""
    base = URL(base_url)
    if base.scheme not in {"http", "https"} or not base.host:
        raise ValueError("the URL of the email service must be http://host or https://host, with an optional path")
    return base


def plain_destination(base: URL, access: Access) -> tuple[URL, dict[str, str]]:
    """The URL to post to in the plain form, and the headers of every request.

    A user and password in the URL become a header.
    """
    headers = {"User-Agent": "heyday", **access.fields}
    if base.user is not None or base.password is not None:
        headers["Authorization"] = basic(base.user or "", base.password or "")
    elif access.token is not None:
        headers["Authorization"] = f"Bearer {access.token}"
    return (base / "send-email").with_query(base.query).with_user(None), headers
