"""A private PgBouncer in front of the PostgreSQL of the tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import asyncpg

from actors.commands.sandbox.servers.ports import LOOPBACK
from actors.commands.sandbox.servers.server import Server
from tests.servers import install_with_apt, one_process_at_a_time


class PgBouncer(Server):
    """PgBouncer with its defaults, except for the mode of its pool. Clients log in as on the server."""

    name: ClassVar[str] = "PgBouncer"
    programs: ClassVar[frozenset[str]] = frozenset({"pgbouncer"})

    def __init__(self, directory: Path, dsn: str, *, mode: str, size: int = 20) -> None:
        super().__init__(directory)
        self._dsn = urlsplit(dsn)
        self._mode = mode
        self._size = size

    def dsn(self, port: int | None = None) -> str:
        """The URL of the same database through the pooler."""
        account = self._dsn.netloc.rpartition("@")[0]
        return self._dsn._replace(netloc=f"{account}@{LOOPBACK}:{port or self.port}").geturl()

    async def _prepare(self) -> None:
        password = unquote(self._dsn.password or "")
        users = self._home.path / "users.txt"
        users.write_text(f'"{self._dsn.username}" "{password}"\n', encoding="utf-8")
        users.chmod(0o644)

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        settings = {
            "listen_addr": LOOPBACK,
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "plain",
            "auth_file": self._home.path / "users.txt",
            "pool_mode": self._mode,
            "default_pool_size": self._size,
        }
        lines = [
            "[databases]",
            f"* = host={self._dsn.hostname} port={self._dsn.port}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        file = self._home.path / "pgbouncer.ini"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        file.chmod(0o644)
        return [self._spawn([program(), str(file)])]

    async def _probe(self, port: int) -> None:
        connection = await asyncpg.connect(self.dsn(port), timeout=5, statement_cache_size=0)
        await connection.close()


def program() -> str:
    """The path of the installed program. A missing program is installed from Debian's package."""
    for _ in range(2):
        if found := shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin"):
            return found
        with one_process_at_a_time():
            install_with_apt("pgbouncer")
    raise RuntimeError("pgbouncer is not installed")


@asynccontextmanager
async def pooled(dsn: str, mode: str, *, size: int = 20) -> AsyncIterator[PgBouncer]:
    """A running PgBouncer in front of that database."""
    with server_directory() as directory:
        pooler = PgBouncer(directory / "pgbouncer", dsn, mode=mode, size=size)
        await pooler.start()
        try:
            yield pooler
        finally:
            await pooler.kill()
            await pooler.stop()


@contextmanager
def server_directory() -> Iterator[Path]:
    """A temporary directory that the account of a server can enter."""
    with tempfile.TemporaryDirectory(prefix="heyday-server-") as directory:
        path = Path(directory)
        path.chmod(0o711)
        yield path
