"""One HTTP/1.1 connection to the email service: it carries one request at a time, and reads its response.

The parser is llhttp, that of Node.js, with the leniency that aiohttp's client has. This module decides what is counted,
how long it waits, and when it cuts the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import httptools

from service.adapters.email.reset import reset

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
"""Bytes of a response up to the end of its head, interim responses included, and header fields of it."""

DRAIN_LIMIT = 64 * 1024
DRAIN_WITHIN = 0.25
"""Bytes and seconds spent on the body of a response, so that its connection can be used again; beyond, it is cut."""

KEPT_OF_BODY = 4096
"""Bytes of the body that are kept, for the provider's id or for what the service said."""

NEVER = float("inf")


class MalformedResponse(ConnectionError):
    """The server sent something that is not HTTP, or a head beyond the bounds."""


class Disconnected(ConnectionError):
    """The server closed the connection before the head of its response was whole."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `body` is its beginning; `head_at` is the instant of its head on `time.perf_counter`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    head_at: float

    def header(self, name: bytes) -> str | None:
        """The first value of a header field, whose name is given in lower case; None without one."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), None)


class Connection(asyncio.Protocol):
    """`on_idle` is called when it can carry another request, `on_lost` when it is gone. Both get the connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.idle_since = NEVER
        """The instant since which it carries no request, by the loop's clock."""
        self._loop = loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expires = NEVER
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._head_at = 0.0
        self._head_bytes = 0
        self._received = 0
        self._is_complete = False
        self._is_draining = False
        self._may_persist = False
        self._parser = httptools.HttpResponseParser(self)
        # As aiohttp's client: a service that breaks lines differently is understood.
        self._parser.set_dangerous_leniencies(lenient_headers=True, lenient_optional_cr_before_lf=True)

    @property
    def is_closing(self) -> bool:
        """True if it can carry no request any more."""
        return self._transport is None or self._transport.is_closing()

    def exchange(self, request: bytes, deadline: float) -> asyncio.Future[Response]:
        """Write a request, and return the future of its response. Call it only on an idle connection.

        The head of the response has to arrive before `deadline`, by the loop's clock. The future raises TimeoutError,
        MalformedResponse, Disconnected or another OSError; the connection is cut then.
        """
        assert self._transport is not None  # noqa: S101 - it is idle
        self._begin_response()
        self.idle_since = NEVER
        self._response = self._loop.create_future()
        self._expire_at(deadline)
        self._transport.write(request)
        return self._response

    def release(self) -> None:
        """Give it back unused."""
        self._on_idle(self)

    def reset(self) -> None:
        """Cut the connection, with what is not yet delivered."""
        if self._transport is not None:
            reset(self._transport)

    def abandon(self, response: asyncio.Future[Response]) -> None:
        """Cut the connection if it still carries the request of this response: its caller was cancelled."""
        if self._response is response:
            self._response = None
            self.reset()

    def close(self) -> None:
        """Close an idle connection in order, and cut one that carries a request."""
        if self._response is not None:
            self.reset()
        elif self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._response is None:  # nothing was asked
            self.reset()
            return
        self._received += len(data)
        is_broken = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # What follows is not HTTP. A status that was read before it stands.
            is_broken = True
        if self._status == 0:
            if is_broken or self._received > MAX_HEAD_BYTES:
                self._fail(MalformedResponse())
                self.reset()
        elif is_broken or self._is_complete:
            self._finish(reusable=not is_broken)
        elif self._received > DRAIN_LIMIT:
            self._finish(reusable=False)
        elif not self._is_draining:
            self._is_draining = True
            self._expire_at(self._loop.time() + DRAIN_WITHIN)

    def eof_received(self) -> None:
        """The server sends no more. The transport closes itself."""

    def connection_lost(self, reason: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        if self._status != 0:
            self._finish(reusable=False)  # the end of the connection is the end of its body
        else:
            self._fail(reason if isinstance(reason, OSError) else Disconnected())
        self._on_lost(self)

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        if self._status != 0:
            raise MalformedResponse  # a second response to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        self._head_bytes += len(name) + len(value)
        if len(self._headers) > MAX_HEADERS or self._head_bytes > MAX_HEAD_BYTES or b"\0" in value:
            raise MalformedResponse

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:  # interim: the response is still to come (RFC 9110, 15.2)
            self._headers = []
            return
        self._status = status
        self._head_at = perf_counter()

    def on_body(self, body: bytes) -> None:
        if len(self._body) < KEPT_OF_BODY:
            self._body += body[: KEPT_OF_BODY - len(self._body)]

    def on_message_complete(self) -> None:
        if self._status != 0:
            self._is_complete = True
            self._may_persist = self._parser.should_keep_alive()

    def _begin_response(self) -> None:
        self._status = self._head_bytes = self._received = 0
        self._headers = []
        self._body = b""
        self._is_complete = self._is_draining = False

    def _finish(self, *, reusable: bool) -> None:
        """Give the response to its caller. The connection is idle then, or closed."""
        future, self._response = self._response, None
        if future is None:
            return
        if not future.done():
            future.set_result(Response(self._status, self._headers, self._body, self._head_at))
        if self._transport is None:
            return
        # A server that answers before it has read the whole request may take the rest for the next one.
        was_read = self._transport.get_write_buffer_size() == 0
        if not self._is_complete or not reusable or not was_read:
            self.reset()
        elif self._may_persist and not self._transport.is_closing():
            self._expires = NEVER
            self._on_idle(self)
        else:
            self._transport.close()

    def _fail(self, failure: OSError) -> None:
        future, self._response = self._response, None
        if future is not None and not future.done():
            future.set_exception(failure)

    def _expire_at(self, when: float) -> None:
        """Let the request expire at that instant. A timer that ends earlier stays: it looks again by itself."""
        self._expires = when
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._response is None:
            return
        if self._loop.time() < self._expires:
            self._timer = self._loop.call_at(self._expires, self._look_at_time)
        elif self._status != 0:
            self._finish(reusable=False)
        else:
            self._fail(TimeoutError())
            self.reset()
