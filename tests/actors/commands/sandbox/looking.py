"""Finds the processes of a private server and their listening sockets."""

from __future__ import annotations

from typing import Any

import psutil  # type: ignore[import-untyped]  # ships no annotations

from actors.commands.sandbox.servers.processes import strays
from actors.commands.sandbox.servers.server import Server


def processes_of(server: Server) -> list[Any]:
    """The running processes of the server, with its helpers."""
    home = server.directory.resolve()
    return strays(home, server.programs)


def listening(process: Any) -> list[Any]:
    """The listening sockets of the process."""
    return [socket for socket in process.net_connections(kind="inet") if socket.status == psutil.CONN_LISTEN]
