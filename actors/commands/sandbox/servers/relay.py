"""A relay between a client and its server that can delay, freeze, lose answers or reset connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from actors.commands.sandbox.servers.ports import LOOPBACK

CHUNK = 65_536
"""Bytes of one read."""

DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "amqp": 5672, "http": 80}
"""The default port of each URL scheme."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """Passes bytes in both directions, over its own connections to the server, until a fault is switched on."""

    def __init__(self, host: str, port: int) -> None:
        self.delay = 0.0
        """Seconds by which all data is delayed."""
        self.url = ""
        self._upstream = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._is_cut = False
        self._swallows_answers = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
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

    def cut(self) -> None:
        """Reset every connection, and each new one at once, until `mend`."""
        self._is_cut = True
        for writer in self._writers:
            _reset(writer)

    def mend(self) -> None:
        """Switch off all faults. Connections that lost an answer are reset, because they are out of step."""
        if self._swallows_answers:
            self.cut()
        self._swallows_answers = self._is_cut = False
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
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pass(reader, upstream_writer))
                both_ways.create_task(self._pass(upstream_reader, writer, answers=True))
        except* OSError:
            pass
        finally:
            await self._abort(upstream_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while True:
            chunk = await reader.read(CHUNK)
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._thawed.wait()
            if not chunk:
                raise ConnectionResetError("the other side has gone")
            if writer.is_closing():
                raise ConnectionResetError("it was cut")
            if not (answers and self._swallows_answers):
                writer.write(chunk)
                await writer.drain()

    async def _abort(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        self._writers.discard(writer)


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
    relay = Relay(parts.hostname or LOOPBACK, parts.port or DEFAULT_PORTS[parts.scheme])
    port = await relay.start()
    credentials, at, _ = parts.netloc.rpartition("@")
    relay.url = urlunsplit(parts._replace(netloc=f"{credentials}{at}{LOOPBACK}:{port}"))
    try:
        yield relay
    finally:
        await relay.close()
