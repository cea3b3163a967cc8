"""A streamed response whose client may read late: what it has not taken yet waits on disk, within a bound.

Most HTTP libraries send everything before they read anything. A server that waited for its response to be read would
then wait for its client, and the client for it, once the buffers of the socket are full.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from aiohttp import web

MAX_IN_MEMORY = 1024 * 1024
"""Bytes that wait in memory before they go to disk."""

MAX_WAITING = 32 * 1024 * 1024
"""Bytes that wait for the client: the results of 400,000 rows."""

CLIENT_READ_TIMEOUT = 10.0
"""Seconds for a client to take a part of the results once so many wait."""

POLL_INTERVAL = 0.02
"""Seconds between two looks at such a client."""

MAX_IN_TRANSPORT = 32 * 1024
"""Bytes in the connection's buffer up to which more is written to it. It pauses the writer at twice as many."""

PIECE = 64 * 1024

RESULTS_NOT_READ = "Too many results wait for you: read them while you send. Send the rows without a result again."
"""The last line of an import that ends with ResultsNotRead."""


class ResultsNotRead(Exception):
    """The client does not read its results, and no more of them can wait."""


class SpooledResponse:
    """Takes bytes without waiting for the client, until too many wait. `finish` waits for it to take them all.

    Two files take turns, so that neither grows while a client that reads is behind: one is written, the other read.
    """

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self.response = response
        self._incoming, self._outgoing = _spool(), _spool()
        self._incoming_bytes = self._outgoing_bytes = 0

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client here."""
        return self._incoming_bytes + self._outgoing_bytes

    async def add(self, text: bytes) -> None:
        """Send this after all that was added before. Raises ResultsNotRead, ConnectionError."""
        await self._send_what_fits()
        if not self.waiting and len(text) <= self._room():
            await self.response.write(text)
            return
        self.keep(text)
        if self.waiting > MAX_WAITING:
            await self._wait_for_client()

    def keep(self, text: bytes) -> None:
        """Let this wait. Raises ResultsNotRead where no disk takes it."""
        try:
            self._incoming.write(text)
        except OSError as error:
            raise ResultsNotRead from error
        finally:
            self._incoming_bytes = self._incoming.tell()

    async def finish(self) -> None:
        """Send what waits, as fast as the client takes it, and end the response. Raises ConnectionError."""
        while self.waiting:
            await self.response.write(self._next(PIECE))
        await self.response.write_eof()

    def close(self) -> None:
        """Give back the disk."""
        self._incoming.close()
        self._outgoing.close()

    async def _send_what_fits(self) -> bool:
        """Send without waiting. Returns whether the client had taken enough for that."""
        sent = False
        while self.waiting and (room := self._room()) > 0:
            await self.response.write(self._next(room))
            sent = True
        return sent

    async def _wait_for_client(self) -> None:
        # Looked at, and not awaited with a deadline: the framework cannot go on after a write that was cancelled.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLIENT_READ_TIMEOUT
        while self.waiting > MAX_WAITING:
            if await self._send_what_fits():
                deadline = loop.time() + CLIENT_READ_TIMEOUT
            elif loop.time() >= deadline:
                raise ResultsNotRead
            else:
                await asyncio.sleep(POLL_INTERVAL)

    def _room(self) -> int:
        transport = self._request.transport
        return 0 if transport is None else MAX_IN_TRANSPORT - transport.get_write_buffer_size()

    def _next(self, size: int) -> bytes:
        if not self._outgoing_bytes:
            self._outgoing.close()
            self._outgoing, self._outgoing_bytes = self._incoming, self._incoming_bytes
            self._outgoing.seek(0)
            self._incoming, self._incoming_bytes = _spool(), 0
        piece = self._outgoing.read(min(size, self._outgoing_bytes))
        self._outgoing_bytes -= len(piece)
        return piece


@asynccontextmanager
async def streamed(request: web.Request, content_type: str) -> AsyncIterator[SpooledResponse]:
    """Begin a response with status 200, and send what the block adds to it.

    After an error only the missing end of the response can tell the client: the connection is cut.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    results = SpooledResponse(request, response)
    try:
        yield results
        await results.finish()
    except Exception:
        if request.transport is not None:
            request.transport.abort()
        raise
    finally:
        results.close()


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=MAX_IN_MEMORY)
