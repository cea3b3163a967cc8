"""A server that misbehaves byte by byte as programmed, and records what its clients do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Behaviour = Callable[["Connection"], Awaitable[None]]
"""Handles one connection of a server; the connection is closed when it returns."""


class Connection:
    """One accepted connection, seen from the server."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = server.connections
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Read and keep a whole request."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        request = head + await self._reader.readexactly(int(lengths[0]))
        self._server.requests.append(request)
        self._server.heard.put_nowait(request)
        return request

    async def head(self) -> bytes:
        """Read the head of a request."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def line(self) -> bytes:
        """Read a line."""
        return await self._reader.readuntil(b"\n")

    async def tunnel(self, host: str, port: int) -> None:
        """Relay bytes to a server and back until one side ends."""
        reader, writer = await asyncio.open_connection(host, port)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while piece := await source.read(65536):
                sink.write(piece)

        ways = [asyncio.ensure_future(carry(self._reader, writer)), asyncio.ensure_future(carry(reader, self._writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()

    async def read(self, count: int) -> bytes:
        """Read exactly this many bytes."""
        return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Read until the client ends or cuts the connection."""
        received = b""
        try:
            while piece := await self._reader.read(65536):
                received += piece
        except ConnectionError:
            pass
        return received

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionError if the client has gone."""
        self._writer.write(data)
        await self._writer.drain()
        if self._writer.is_closing():
            raise ConnectionResetError

    def reset(self) -> None:
        """Reset the connection (RST), unless the client was first."""
        raw = self._writer.get_extra_info("socket")
        with suppress(OSError):
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def accepts(connection: Connection) -> None:
    """Accept every request."""
    while True:
        await connection.request()
        await connection.send(OK)


class RawServer:
    """Listens on a free loopback port and handles each connection by `behaviour`."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.connections = 0
        self.open_connections = 0
        self.most_open = 0
        self.all_closed = asyncio.Event()
        self._behaviour = behaviour
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def listen(self, sock: socket.socket | None = None) -> None:
        """Listen, on a bound socket if one is given."""
        if sock is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        else:
            self._server = await asyncio.start_server(self._accept, sock=sock, ssl=self._tls)

    async def close(self) -> None:
        """Stop listening, and end running connections."""
        assert self._server is not None
        for listening in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        # What is accepted already becomes a transport, then a task. asyncio leaks a connection whose server is closed
        # in between (python/cpython#109564).
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # also of a task that is cancelled before it begins

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self.most_open = max(self.most_open, self.open_connections)
        self.all_closed.clear()
        try:
            await self._behaviour(Connection(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left in the middle, as some tests want
        finally:
            writer.close()
            self.open_connections -= 1
            if not self.open_connections:
                self.all_closed.set()
