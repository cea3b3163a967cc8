"""The archive and the restore of deploy/postgres, with a real server."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.server import Server
from tests.node.harness import eventually

FILES = Path(__file__).parents[2] / "deploy" / "postgres"


@dataclass
class Archived:
    """A server whose log is archived as in production, and its backups."""

    server: PostgresServer
    account: Account
    data: Path
    backups: Path
    archive: str
    """The command of the archive, with `%p` and `%f`."""

    def run(self, *command: str, **environment: str) -> None:
        """Run a command with the account of the server. Raises CalledProcessError."""
        user, group = self.account.user, self.account.group
        subprocess.run(command, check=True, env=os.environ | environment, user=user, group=group, cwd="/")

    async def value(self, query: str) -> object:
        """Run a statement. Returns its first value."""
        async with self.connection() as connection:
            return await connection.fetchval(query)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection of its own."""
        connection = await asyncpg.connect(self.server.dsn())
        try:
            yield connection
        finally:
            await connection.close()

    async def insert(self, number: int) -> str:
        """Insert a row. Returns an instant after that, and before any later one."""
        async with self.connection() as connection:
            await connection.execute("insert into greetings values ($1)", number)
            instant = await connection.fetchval("select clock_timestamp()")
        return str(instant.isoformat())

    async def rows(self) -> list[int]:
        """The rows, once the server has recovered."""

        async def recovered() -> bool:
            return not await self.value("select pg_is_in_recovery()")

        await eventually(recovered)
        async with self.connection() as connection:
            return [row[0] for row in await connection.fetch("select number from greetings order by number")]

    def back_up(self, name: str) -> None:
        """Take a base backup as backup.sh does."""
        program = self.server._folder / "pg_basebackup"
        self.run(
            *(str(program), f"--dbname={self.server.dsn()}", f"--pgdata={self.backups}/base/{name}"),
            *("--format=tar", "--gzip", "--checkpoint=fast", "--wal-method=stream"),
        )

    async def stop(self) -> None:
        """Stop the server when all of its log is in the archive."""
        segment = await self.value("select pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            return (self.backups / "wal" / f"{segment}.gz").exists()

        await eventually(archived)
        await self.server.stop()

    async def restore(self, *instant: str, **environment: str) -> list[int]:
        """Stop the server, restore it, and start it. Returns the rows."""
        await self.stop()
        places = {"DATA": str(self.data), "BACKUPS": str(self.backups)}
        self.run("bash", str(FILES / "restore.sh"), *instant, **places, **environment)
        await self.server.start()
        return await self.rows()


@pytest.fixture
async def archived(place: Path, made: list[Server]) -> Archived:
    """The server, with an empty table."""
    backups = place / "backups"
    settings = (FILES / "postgresql.conf").read_text(encoding="utf-8")
    (command,) = re.findall(r"^archive_command = '(.*)'$", settings, re.MULTILINE)
    archive = command.replace("/backup/", f"{backups}/")
    server = PostgresServer(place / "postgres", settings=UNWRITTEN | {"archive_mode": "on", "archive_command": archive})
    made.append(server)
    await server.start()
    found = Archived(server, server._home.account, server._home.path / "data", backups, archive)
    backups.mkdir(mode=0o777)
    backups.chmod(0o777)
    found.run("mkdir", str(backups / "wal"), str(backups / "base"))
    await found.value("create table greetings (number integer)")
    return found


async def test_a_database_is_restored_again_and_again(archived: Archived) -> None:
    """To an instant, to a later one of the log before that restore, and to the end of the log from a later backup."""
    await archived.insert(1)
    archived.back_up("20270314T080000Z")
    first = await archived.insert(2)
    second = await archived.insert(3)
    await archived.insert(4)

    assert await archived.restore(first, BACKUP="20270314T080000Z") == [1, 2]
    await archived.insert(5)
    assert await archived.restore(second, BACKUP="20270314T080000Z", TIMELINE="1") == [1, 2, 3]
    archived.back_up("20270314T090000Z")
    await archived.insert(6)
    assert await archived.restore(BACKUP="20270314T090000Z") == [1, 2, 3, 6]


async def test_the_archive_accepts_a_segment_again_and_refuses_another_of_its_name(archived: Archived) -> None:
    """After a crash PostgreSQL may archive a segment that is there. Another server must not write over it."""
    await archived.stop()
    (segment, *_) = sorted((archived.backups / "wal").glob("0*.gz"))
    copy = archived.backups / "copy"
    copy.write_bytes(gzip.decompress(segment.read_bytes()))
    command = archived.archive.replace("%p", str(copy)).replace("%f", segment.stem)

    archived.run("sh", "-c", command)
    before = segment.read_bytes()
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(subprocess.CalledProcessError):
        archived.run("sh", "-c", command)

    assert segment.read_bytes() == before


async def test_the_log_of_the_server_has_no_address(place: Path, made: list[Server]) -> None:
    """Neither that of a slow statement nor that of a taken address, which the detail of the error quotes."""
    lines = re.findall(
        r"^(log_\w+) = '?([^'\n]*)'?$", (FILES / "postgresql.conf").read_text(encoding="utf-8"), re.MULTILINE
    )
    settings = UNWRITTEN | dict(lines) | {"log_min_duration_statement": "0"}
    server = PostgresServer(place / "postgres", settings=settings)
    made.append(server)
    await server.start()
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("create table people (email text primary key)")
    for _ in range(2):
        with suppress(asyncpg.UniqueViolationError):
            await connection.execute("insert into people values ($1)", "secret@example.com")
    await connection.close()

    log = server._home.log.read_text(encoding="utf-8")
    assert "duplicate key value violates" in log
    assert "insert into people" in log
    assert "secret@" not in log


def test_the_age_counts_from_the_start_until_the_first_backup_succeeds(tmp_path: Path) -> None:
    """Without a metric the alert cannot fire, although there is no backup at all."""
    script = (FILES / "backup.sh").read_text(encoding="utf-8")
    for folder in ("/backup/", "/run/secrets/"):
        script = script.replace(folder, f"{tmp_path}/")
    (tmp_path / "postgres_backup_password").touch()
    (tmp_path / "pg_basebackup").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "pg_basebackup").chmod(0o755)

    with subprocess.Popen(
        ["bash", "-c", script],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        try:
            assert running.stderr is not None
            said = running.stderr.readline()
        finally:
            os.killpg(running.pid, signal.SIGKILL)

    metric = (tmp_path / "heyday_backup.prom").read_text(encoding="utf-8").split()
    assert said.startswith(b"backup failed")
    assert abs(int(metric[-1]) - time.time()) < 60
