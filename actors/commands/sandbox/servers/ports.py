"""Finds free loopback ports."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

CANDIDATES = range(15_000, 32_000)
"""Ports below the range for outgoing connections of Linux (32768 and up).

A port from that range may be in use by a connection when a server is started again.
"""


def is_free(port: int) -> bool:
    """True if a server can listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now. Another process may take it first. Then the caller must try another port."""
    shuffled = random.sample(CANDIDATES, len(CANDIDATES))
    return next(port for port in shuffled if is_free(port))
