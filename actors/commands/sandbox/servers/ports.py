"""Loopback ports that are free."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

CANDIDATES = range(15_000, 32_000)
"""Below the range from which Linux gives ports to outgoing connections (32768 and up).

A server that is stopped and started again wants its port back; a port from that range may have become the near end
of somebody's connection in between.
"""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now. Somebody may take it before the server does, so the caller tries another then."""
    shuffled = random.sample(CANDIDATES, len(CANDIDATES))
    return next(port for port in shuffled if is_free(port))
