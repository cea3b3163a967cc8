"""Client connections: a bound on their number, deadlines for slow clients, and answers to what is not HTTP.

A client without a key can open connections and leave them silent. These rules keep descriptors for the rest of the node
and keep the API open to other clients:

* At the limit, the connection that has been without a request for the longest time is closed for a new one. When every
  connection works on a request, the new connection is closed.
* The head of a request arrives within HEAD_TIMEOUT, counted from its first byte or from the start of the connection.
* A client takes some of a response within WRITE_TIMEOUT.
* Bodies are never decompressed, and the body of a refused request is not read on.

No log line names the address of a client or quotes what it sent.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from service.api.http.body import MAX_BODY_BYTES
from service.api.http.problem_responses import document, problem_of_http
from service.api.http.problems import BUG, HEADERS_TOO_LARGE, MALFORMED, Problem
from service.api.middleware.security_headers import HEADERS

log = structlog.get_logger(__name__)

HEAD_TIMEOUT = 10.0
"""Seconds for the head of a request to arrive."""

KEEP_ALIVE_TIMEOUT = 75.0
"""Seconds that a connection stays open between two requests; longer than a reverse proxy keeps its own."""

WRITE_TIMEOUT = 30.0
"""Seconds within which a client takes about 48 KiB of a response that it does not read fast enough."""

LINGER_TIMEOUT = 2.0
"""Seconds for the rest of a small body that no handler wanted; the connection stays usable after it."""

REFUSED_LINGER = 0.5
"""Seconds between the response to a request whose body is not read and the end of its connection. An end at once would
reset the connection, and the client would lose the response."""

LOG_INTERVAL = 60.0
"""Seconds between two log lines about the connection limit."""


class ConnectionTable:
    """The open connections, at most `limit`. Those without a request are in the order in which they fell idle."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: dict[ClientConnection, None] = {}
        self._busy: set[ClientConnection] = set()
        self._logged_at = float("-inf")

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def add(self, connection: ClientConnection) -> None:
        """Add a connection, and close the longest idle one when there are too many."""
        self._idle[connection] = None
        if len(self) > self.limit:
            self._log_limit()
            # The connection itself is the last of the idle ones, so one is always found.
            oldest = next(iter(self._idle))
            self.remove(oldest)
            oldest.abort()

    def set_busy(self, connection: ClientConnection) -> None:
        """Note that the connection works on a request."""
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)

    def set_idle(self, connection: ClientConnection) -> None:
        """Note that the connection has no request."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._idle[connection] = None

    def remove(self, connection: ClientConnection) -> None:
        """Forget a connection that is closed."""
        self._idle.pop(connection, None)
        self._busy.discard(connection)

    def _log_limit(self) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.warning("connection_limit_reached", limit=self.limit, busy=len(self._busy))


class Runner(web.AppRunner):
    """Runs the application on bounded connections."""

    def __init__(self, app: web.Application, *, connections: ConnectionTable, shutdown_timeout: float) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_TIMEOUT,
            lingering_time=LINGER_TIMEOUT,
        )
        self._connections = connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            loop=made._loop,  # noqa: SLF001 - the framework has no other way to name the class of its connections
            connections=self._connections,
            **made._kwargs,  # noqa: SLF001 - as above
        )


class _Server(web.Server):
    def __init__(self, handler: Any, *, connections: ConnectionTable, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._table = connections

    def __call__(self) -> web.RequestHandler:
        return ClientConnection(self, table=self._table, loop=self._loop, **self._kwargs)


class ClientConnection(web.RequestHandler):
    """One connection of a client, with its deadlines."""

    __slots__ = ("_head_deadline", "_socket", "_table", "_write_deadline")

    def __init__(self, manager: web.Server, *, table: ConnectionTable, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._table = table
        self._socket: asyncio.Transport | None = None
        self._head_deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._await_head()
        self._table.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._table.remove(self)
        self._cancel_deadlines()
        self._socket = None
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection now, and drop unsent bytes."""
        self._cancel_deadlines()
        if self._socket is not None:
            self._socket.abort()

    def data_received(self, data: bytes) -> None:
        idle = self._waiter is not None  # the framework waits for a head
        super().data_received(data)
        if self._messages:
            self._cancel_head_deadline()
        elif idle and self._head_deadline is None:
            self._await_head()

    async def _handle_request(self, request: web.BaseRequest, *args: Any) -> tuple[web.StreamResponse, bool]:
        self._cancel_head_deadline()
        self._table.set_busy(self)
        try:
            return await super()._handle_request(request, *args)
        finally:
            self._table.set_idle(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response. A body that was not read, and is not small, ends the connection."""
        if isinstance(resp, web.HTTPError):  # the framework's own, before any middleware: an unknown Expect
            request_id = uuid.uuid4().hex
            resp = document(problem_of_http(resp), path=request.rel_url.raw_path, request_id=request_id)
            resp.headers["X-Request-ID"] = request_id
        unread = not request.content.is_eof() and not _has_small_body(request)
        if unread:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if unread:
            self._lingering_time = 0.0
            self.pause_reading()
            await asyncio.sleep(REFUSED_LINGER)
        return finished

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self._loop.call_later(WRITE_TIMEOUT, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer an error that no handler answered: the parser's, or that of a connection that has ended."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun")
        if isinstance(exc, HttpProcessingError):
            problem = _problem(exc)
            log.info("request_not_http", reason=type(exc).__name__, status=problem.kind.status)
        else:
            problem = Problem(BUG, BUG.meaning)
            if isinstance(exc, ConnectionError):
                log.debug("client_disconnected", reason=type(exc).__name__)
            else:
                log.error("request_failed", exc_info=exc)
        request_id = uuid.uuid4().hex
        response = document(problem, path="/", request_id=request_id)
        response.headers.update({**HEADERS, "X-Request-ID": request_id, "Server": "heyday"})
        response.force_close()
        return response

    def _await_head(self) -> None:
        self._head_deadline = self._loop.call_later(HEAD_TIMEOUT, self.abort)

    def _cancel_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _cancel_deadlines(self) -> None:
        self._cancel_head_deadline()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None


def _has_small_body(request: web.BaseRequest) -> bool:
    length = request.content_length
    return length is not None and length <= MAX_BODY_BYTES


def _problem(error: HttpProcessingError) -> Problem:
    if isinstance(error, LineTooLong):
        return Problem(HEADERS_TOO_LARGE, "The request's first line, or one of its headers, has too many bytes.")
    return Problem(MALFORMED, "The request is not valid HTTP/1.1.")
