"""A relay between a client and its server that a test can freeze, as when a machine is stopped or a cable is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Relay:
    """Passes bytes both ways until it is frozen; connections stay open then, and new ones are still accepted."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._is_cut = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""

    def freeze(self) -> None:
        """Pass nothing on from now."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Pass on what came meanwhile, and what comes."""
        self._thawed.set()

    def cut(self) -> None:
        """Reset every connection, and each new one at once, until it is mended."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Accept connections again."""
        self._is_cut = False

    async def start(self) -> int:
        """Listen on a free loopback port, which is returned."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End every connection."""
        assert self._server is not None
        self._server.close()
        self.thaw()
        self.cut()
        await asyncio.gather(*self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        if self._is_cut:
            writer.transport.abort()
            self._connections.discard(task)
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        try:
            self._writers |= {writer, upstream_writer}
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pass(reader, upstream_writer))
                both_ways.create_task(self._pass(upstream_reader, writer))
        except* OSError:
            pass
        finally:
            for each in (writer, upstream_writer):
                each.transport.abort()
                with suppress(OSError):
                    await each.wait_closed()
            self._writers -= {writer, upstream_writer}
            self._connections.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            chunk = await reader.read(65536)
            await self._thawed.wait()
            if not chunk:
                raise ConnectionResetError("the other side has gone")
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    """A relay before the server of `url`; its own `url` leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    relay = Relay(parts.hostname, parts.port)
    port = await relay.start()
    credentials, _, _ = parts.netloc.rpartition("@")
    relay.url = urlunsplit(
        parts._replace(netloc=f"{credentials}@127.0.0.1:{port}" if credentials else f"127.0.0.1:{port}")
    )
    try:
        yield relay
    finally:
        await relay.close()
