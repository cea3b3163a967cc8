"""A relay between a client and its server: it can delay, freeze, lose answers or publishes, and reset connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from actors.commands.sandbox.servers.amqp_publishes import Frames, Publishes
from actors.commands.sandbox.servers.ports import LOOPBACK

CHUNK = 65_536
"""Bytes of one read."""

DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "amqp": 5672, "http": 80}
"""The default port of each URL scheme."""

Translate = Callable[[bytes], bytes]
"""Returns the bytes that are passed on."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """Passes bytes in both directions, over its own connections to the server, until a fault is switched on.

    `amqp`: it passes whole frames, and can confirm publishes that it drops.
    """

    def __init__(self, host: str, port: int, *, amqp: bool = False) -> None:
        self.delay = 0.0
        """Seconds by which all data is delayed."""
        self.met = 0
        """Data that a fault delayed, held or lost, and connections that it reset, so far."""
        self.url = ""
        self._upstream = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._is_cut = False
        self._swallows_answers = False
        self._amqp = amqp
        self._swallowed_key: str | None = None
        self._swallowed = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_server: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        """Stop passing data, as after a cable is pulled.

        Connections stay open, and new ones are still accepted.
        """
        self._thawed.clear()

    def thaw(self) -> None:
        """Pass the held data, and all data that follows."""
        self._thawed.set()

    def swallow_answers(self) -> None:
        """Pass requests and discard answers, as a half-open connection does."""
        self._swallows_answers = True

    @property
    def connections(self) -> frozenset[asyncio.StreamWriter]:
        """Its connections to the server, one for each of a client."""
        return frozenset(self._to_server)

    @property
    def swallowed(self) -> int:
        """The publishes that were confirmed and dropped so far."""
        return self._swallowed

    def swallow_publishes(self, routing_key: str) -> None:
        """Confirm publishes with this key and drop them. Only in front of RabbitMQ."""
        self._swallowed_key = routing_key

    def cut(self) -> None:
        """Reset every connection, and each new one at once, until `mend`."""
        self._is_cut = True
        self.met += len(self._writers)
        for writer in self._writers:
            _reset(writer)

    def mend(self) -> None:
        """Switch off all faults. Connections that lost an answer are reset, because they are out of step."""
        if self._swallows_answers:
            self.cut()
        self._swallows_answers = self._is_cut = False
        self._swallowed_key = None
        self.delay = 0.0
        self.thaw()

    async def start(self) -> int:
        """Listen on a free loopback port, and return it."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        self.thaw()
        self.cut()
        await asyncio.gather(*self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._connections.add(task)
        self._writers.add(writer)
        try:
            if self._is_cut:
                self.met += 1
                _reset(writer)
            else:
                await self._connect(reader, writer)
        finally:
            await self._abort(writer)
            self._connections.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            _reset(writer)  # the server is away
            return
        self._writers.add(upstream_writer)
        self._to_server.add(upstream_writer)
        requests, answers = self._translations(writer) if self._amqp else (_unchanged, _unchanged)
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pass(reader, upstream_writer, requests))
                both_ways.create_task(self._pass(upstream_reader, writer, answers, are_answers=True))
        except* OSError:
            pass
        finally:
            self._to_server.discard(upstream_writer)
            await self._abort(upstream_writer)

    def _translations(self, client: asyncio.StreamWriter) -> tuple[Translate, Translate]:
        """Return what passes requests and answers on, in whole frames: a confirm must not come within an answer."""
        publishes, asked, answered = Publishes(), Frames(), Frames()

        def requests(data: bytes) -> bytes:
            before, to_server = publishes.swallowed, []
            for frame in asked.feed(data):
                request, confirm = publishes.request(frame, routing_key=self._swallowed_key)
                to_server.append(request)
                if confirm:
                    client.write(confirm)
            self._swallowed += publishes.swallowed - before
            return b"".join(to_server)

        return requests, lambda data: b"".join(map(publishes.answer, answered.feed(data)))

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        translate: Translate,
        *,
        are_answers: bool = False,
    ) -> None:
        while True:
            chunk = await reader.read(CHUNK)
            swallowed = are_answers and self._swallows_answers
            self.met += bool(self.delay or swallowed or not self._thawed.is_set())
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._thawed.wait()
            if not chunk:
                raise ConnectionResetError("the other side has gone")
            if writer.is_closing():
                raise ConnectionResetError("it was cut")
            passed = translate(chunk)
            if not (are_answers and self._swallows_answers):
                writer.write(passed)
                await writer.drain()

    async def _abort(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        self._writers.discard(writer)


def _unchanged(data: bytes) -> bytes:
    return data


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    connection = writer.get_extra_info("socket")  # None on uvloop if it is closed
    if connection is not None:
        with suppress(OSError, ValueError):  # it is closed, or closing on uvloop
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    """Run a relay in front of the server of `url`. Its own `url` leads through it."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    relay = Relay(parts.hostname or LOOPBACK, port, amqp=parts.scheme == "amqp")
    port = await relay.start()
    credentials, at, _ = parts.netloc.rpartition("@")
    relay.url = urlunsplit(parts._replace(netloc=f"{credentials}{at}{LOOPBACK}:{port}"))
    try:
        yield relay
    finally:
        await relay.close()
