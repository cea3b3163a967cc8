"""A streamed answer whose reader may be slow: what it does not take yet waits on disk, so that reading can go on.

A client that sends everything before it reads anything (most HTTP libraries do) and a server that waits for its answers
to be read would wait for each other for ever once the socket's buffers are full.
"""

from __future__ import annotations

import tempfile

from aiohttp import web

IN_MEMORY = 1024 * 1024
"""Bytes that wait in memory before they go to disk."""

IN_TRANSPORT = 32 * 1024
"""Bytes in the connection's buffer up to which more is written to it; well below where writing would wait."""

PIECE = 64 * 1024


class Results:
    """Bytes go in without waiting for the client, until `finish`, which waits for it to take them all."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._waiting = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`

    async def add(self, text: bytes) -> None:
        """Send this after all that was added before."""
        transport = self._request.transport
        room = transport is not None and transport.get_write_buffer_size() + len(text) <= IN_TRANSPORT
        if room and self._waiting.tell() == 0:
            await self._response.write(text)
        else:
            self._waiting.write(text)

    async def finish(self) -> None:
        """Send what waits, as fast as it is taken, and end the answer. Raises ConnectionError when nobody is there."""
        self._waiting.seek(0)
        while piece := self._waiting.read(PIECE):
            await self._response.write(piece)
        await self._response.write_eof()

    def close(self) -> None:
        """Give back the disk."""
        self._waiting.close()
