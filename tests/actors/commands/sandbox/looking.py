"""What the system says about the processes of a private server."""

from __future__ import annotations

from typing import Any

import psutil  # type: ignore[import-untyped]  # ships no annotations

from service.embedded.processes import strays
from service.embedded.server import Server


def processes_of(server: Server) -> list[Any]:
    """The processes of the server that live, its helpers included."""
    home = server.directory.resolve()
    return strays(home, server.programs)


def listening(process: Any) -> list[Any]:
    """The sockets on which the process waits for connections."""
    return [socket for socket in process.net_connections(kind="inet") if socket.status == psutil.CONN_LISTEN]
