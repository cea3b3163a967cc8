"""Cuts a connection so that nothing that was written to it is delivered later."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.WriteTransport) -> None:
    """Reset the connection: after a mere close the kernel would go on delivering what is on its way, for minutes.

    A library may have asked for that close already; the socket lives until the loop's next turn.
    """
    with suppress(OSError, ValueError):  # already gone, as asyncio and uvloop say it
        if (connection := transport.get_extra_info("socket")) is not None:  # None: TLS is closed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
