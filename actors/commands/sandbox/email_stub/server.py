"""The HTTP server of the fake email service.

The service is `POST /send-email`, below any path. `GET /stats` has the counts; `?keys=1` adds each key. `GET
/accepted?since=N` has the acceptances as NDJSON. `DELETE /stats` and `POST /reset` reset the counts. `GET` and `PUT
/options` read and change the options.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime

import orjson
from aiohttp import web

from actors.commands.sandbox.email_stub.ledger import Ledger
from actors.commands.sandbox.email_stub.options import StubOptions

CLOSE_WITHIN = 0.1
"""Seconds for open requests to end when the service closes."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_NOTHING = web.Response


class EmailStub:
    """A running fake email service.

    Code in the same process can read `ledger` and `options`, and await the events of a hanging request.
    """

    def __init__(self, options: StubOptions) -> None:
        self.options = options
        self.ledger = Ledger(keep=options.keep)
        self.host = ""
        self.port = 0
        self.hang_began = asyncio.Event()
        self.hang_ended = asyncio.Event()
        self._random = random.Random(options.seed)  # noqa: S311 - faults must be repeatable, not secret
        self._runner: web.ServerRunner | None = None
        self._window = self._taken = 0

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def listen(self, host: str, port: int) -> None:
        """Listen. Port 0 takes a free port. Raises OSError if the port is taken."""
        # The low-level server has no router and no middleware, because benchmarks use it. A handler is cancelled when
        # its client disconnects, so a hang ends then.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSE_WITHIN)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.host, self.port = host, self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and cut open connections. It may be called twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def reset(self) -> None:
        """Reset the ledger."""
        self.ledger = Ledger(keep=self.options.keep)

    def change(self, options: StubOptions) -> None:
        """Use these options from the next request on. A new seed starts its sequence.

        A status is for the calls under way, too: from now on none is accepted.
        """
        if options.seed != self.options.seed:
            self._random.seed(options.seed)
        self.options = options
        self.ledger.keep = options.keep

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path.endswith("/send-email"):
            if self.options.token and request.headers.get("Authorization") != f"Bearer {self.options.token}":
                return _answer(401, "wrong token")
            return await self._send_email(request) if request.method == "POST" else _answer(405, "only POST")
        match request.method, path:
            case "GET", "/stats":
                keys = {"byKey": self.ledger.by_key()} if request.query.get("keys") else {}
                return _json(200, {**self.ledger.stats(), **keys})
            case ("DELETE", "/stats") | ("POST", "/reset"):
                self.reset()
                return _NOTHING(status=204)
            case "GET", "/accepted":
                return await self._stream_acceptances(request)
            case "GET", "/options":
                return _json(200, self.options.as_json())
            case "PUT", "/options":
                return await self._change_options(request)
        return _answer(404, "not found")

    async def _send_email(self, request: web.BaseRequest) -> web.StreamResponse:
        options, ledger = self.options, self.ledger
        ledger.requests += 1
        if options.down:
            ledger.errors += 1
            return _answer(503, "down")
        # One draw for each request, so that a seed gives the same sequence with any rates.
        fate = self._random.random()
        body = await request.read()
        if not request.headers.get("Content-Type", "").lower().startswith("application/json"):
            ledger.refused += 1
            return _answer(415, "expected application/json")
        mail = _mail(body)
        if mail is None:
            ledger.refused += 1
            return _answer(400, 'expected {"email": "...", "message": "..."}')
        if options.fail_for and mail[0].startswith(options.fail_for):
            ledger.errors += 1
            return _answer(500, "as configured for this address")
        if options.status:
            ledger.refused += 1
            return _answer(options.status, "as configured")
        if options.rate and not self._takes_another(options.rate):
            ledger.throttled += 1
            return _answer(429, "too fast", {"Retry-After": str(options.retry_after)} if options.retry_after else None)
        if options.latency[1]:
            await asyncio.sleep(self._random.uniform(*options.latency))
            if status := self.options.status:
                ledger.refused += 1
                return _answer(status, "as configured")
        if (fate := fate - options.error_rate) < 0:
            ledger.errors += 1
            return _answer(500, "random error") if ledger.errors % 4 else _answer(503, "busy")
        if (fate := fate - options.hang_rate) < 0:
            return await self._hang(request)
        email, message = mail
        ledger.accept(
            key=request.headers.get("Idempotency-Key"), email=email, message=message, at=time.time_ns() // 1_000_000
        )
        if fate < options.accept_then_fail_rate:
            ledger.cut += 1
            return _cut(request)
        return web.Response(body=_sent(), content_type="application/json")

    def _takes_another(self, rate: float) -> bool:
        """Count a request of this second. False if there were already `rate` of them.

        A rate below 1 takes one request in a longer time: 0.5 one in two seconds.
        """
        window = int(time.monotonic() * min(rate, 1))
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken <= max(rate, 1)

    async def _hang(self, request: web.BaseRequest) -> web.StreamResponse:
        self.ledger.hangs += 1
        self.hang_began.set()
        try:
            await asyncio.sleep(self.options.hang_for)
        except asyncio.CancelledError:
            self.ledger.abandoned += 1
            raise
        finally:
            self.hang_ended.set()
        return _cut(request)

    async def _stream_acceptances(self, request: web.BaseRequest) -> web.StreamResponse:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdecimal()):
            return _answer(400, "since must be a number")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for rows in self.ledger.acceptances(since=int(since)):
            await response.write(b"".join(orjson.dumps(row._asdict()) + b"\n" for row in rows))
        return response

    async def _change_options(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            changes = orjson.loads(await request.read())
            options = self.options.changed(changes) if isinstance(changes, dict) else None
        except ValueError as wrong:
            return _answer(400, str(wrong))
        if options is None:
            return _answer(400, "expected a JSON object")
        self.change(options)
        return _json(200, self.options.as_json())


async def serve(host: str, port: int, options: StubOptions) -> EmailStub:
    """Start a fake email service. Close it with `close()`. Raises OSError if the port is taken."""
    stub = EmailStub(options)
    await stub.listen(host, port)
    return stub


def _mail(body: bytes) -> tuple[str, str] | None:
    """Address and message, if the body has exactly these two fields and neither is blank."""
    try:
        content = orjson.loads(body)
    except ValueError:
        return None
    match content:
        case {"email": str(email), "message": str(message), **rest} if not rest and email.strip() and message.strip():
            return email, message
    return None


def _sent() -> bytes:
    return b'{"status":"sent","sentTime":"%s"}' % datetime.now(UTC).isoformat(timespec="milliseconds").encode()


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection without an answer."""
    transport = request.transport
    if transport is not None:
        with suppress(OSError, ValueError):  # it is closed, in the words of asyncio and uvloop
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return _NOTHING()  # aiohttp requires a response, although it cannot be sent


def _json(status: int, content: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def _answer(status: int, error: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps({"error": error}), content_type="application/json", headers=headers
    )
